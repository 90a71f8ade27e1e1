import { PeerError } from '../errors.ts'
import type { ConcentratorId } from '../model.ts'

/**
 * What one concentrator may do over MQTT 3.1.1, whatever client id and topics it names: its certificate says who it is.
 * Everything it may not is a fault that closes its session.
 */
export const uplinkTopic = (concentrator: ConcentratorId): string => `ami/v1/${concentrator}/up`
export const commandTopic = (concentrator: ConcentratorId): string => `ami/v1/${concentrator}/down`

/**
 * A session leaves nothing behind: no will, and no session state that could be resumed by another connection.
 * @returns the connect as the broker shall take it: under the certificate's name, clean
 * @throws PeerError `WILL_REFUSED`
 */
export function admitConnect(
  concentrator: ConcentratorId,
  connect: { will?: unknown },
): { clientId: string; clean: true } {
  if (connect.will !== undefined && connect.will !== null) throw new PeerError('WILL_REFUSED', 'a will is not taken')
  return { clientId: concentrator, clean: true }
}

/** @throws PeerError `TOPIC_FOREIGN`, `QOS_REFUSED`, `RETAIN_REFUSED` */
export function admitPublish(
  concentrator: ConcentratorId,
  { topic, qos, retain }: { topic: string; qos: number; retain: boolean },
): void {
  if (topic !== uplinkTopic(concentrator))
    throw new PeerError('TOPIC_FOREIGN', 'a publish on a topic that is not its own')
  if (qos !== 1) throw new PeerError('QOS_REFUSED', `a publish of QoS ${qos}: only 1 tells what is durable`)
  if (retain) throw new PeerError('RETAIN_REFUSED', 'a retained message is not taken')
}

/** @throws PeerError `TOPIC_FOREIGN` */
export function admitSubscribe(concentrator: ConcentratorId, topic: string): void {
  if (topic !== commandTopic(concentrator)) throw new PeerError('TOPIC_FOREIGN', 'a subscription that is not its own')
}
