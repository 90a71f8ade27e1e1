import type { Obis } from '../model.ts'
import { fitsPattern, obisPattern } from './obis-pattern.ts'

/** Which interface class an object of a code usually has; the first that fits is taken. @see Blue Book, OBIS, by class */
const table = `0-x:1.0.x 8
0-x:10.x.x 9
0-x:11.0.x 11
0-x:13.0.x 20
0-x:15.0.x 22
0-x:16.0.x 21
0-x:17.0.x 71
0-x:21.0.x 7
0-x:22.0.x 23
0-x:24.1.x 72
0-x:24.2.x 4
0-x:24.3.x 7
0-x:24.4.x 70
0-x:24.5.x 7
0-x:25.0.x 41
0-x:25.1.x 42
0-x:25.2.x 43
0-x:25.9.x 40
0-x:40.0.x 15
0-x:41.0.x 17
0-x:43.0.x 64
0-x:44.0.x 18
0-x:96.3.10 70
0-x:96.6.x 3
0-x:96.12.5 3
0-x:98.x.x 7
0-x:99.x.x 7
0-x:x.x.x 1
x-x:98-99.x.x 7
x-x:0.x.x 1
x-x:96.x.x 1
1-x:1-91.2.x 3
1-x:1-91.3.x 4
1-x:1-91.4-5.x 5
1-x:1-91.6.x 4
x-x:x.x.x 3`

const patterns = table.split('\n').map((line) => {
  const [code, classId] = line.split(' ')
  return { pattern: obisPattern(code!), classId: Number(classId) }
})

/** A guess: the meter says `object-class-inconsistent` where it is wrong. @returns 1 to 72 */
export function usualClass(code: Obis): number {
  return patterns.find(({ pattern }) => fitsPattern(pattern, code))!.classId
}
