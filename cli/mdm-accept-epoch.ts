import { readMdmConfig } from '#mdm/config.ts'
import { LinkStore } from '#mdm/link-store.ts'
import { wholeNumber } from './command.ts'

export const acceptEpochHelp = `accept-epoch  a sender that was installed anew begins a stream of its own, an epoch, of which nothing is taken until this says
          so: EPOCH as the log names it (epoch.announced, and mdm.status, link.epochs). The receiver may be running; what came
          before was dropped, and comes again by itself. Exit 2: no such epoch was announced.
`

/** @returns the exit code @throws ConfigError */
export function acceptEpoch(configFile: string, text: string): number {
  const epoch = wholeNumber('EPOCH', text, [1, 2 ** 32 - 1])
  const { data } = readMdmConfig(configFile)
  const link = new LinkStore(data)
  const known = link.epochs().find((one) => one.epoch === epoch)
  if (known?.accepted === false) link.accept(epoch, Date.now())
  link.close()
  if (known === undefined) process.stderr.write(`ami: epoch ${epoch} was not announced\n`)
  else process.stdout.write(`epoch ${epoch}: ${known.accepted ? 'was accepted before' : 'accepted'}\n`)
  return known === undefined ? exitUnknown : 0
}

const exitUnknown = 2
