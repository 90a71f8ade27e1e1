/**
 * Until somebody wants the end: `asked` by SIGINT or SIGTERM, or `orphaned` when the parent that started us as its child
 * is gone. A second signal ends the process as the system does. To be called before the work begins: a signal that comes
 * in between must not end it half-way.
 */
export function untilSignal(): Promise<'asked' | 'orphaned'> {
  return new Promise((resolve) => {
    const heard = (): void => {
      process.off('SIGINT', heard)
      process.off('SIGTERM', heard)
      resolve('asked')
    }
    process.on('SIGINT', heard)
    process.on('SIGTERM', heard)
    if (process.send === undefined) return // nobody's child
    const orphaned = (): void => resolve('orphaned')
    if (process.connected) {
      process.once('disconnect', orphaned)
      process.channel?.unref() // hearing the parent's end must not put off our own
    } else orphaned()
  })
}
