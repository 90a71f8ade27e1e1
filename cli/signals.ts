/**
 * Until somebody wants the end: SIGINT, SIGTERM, or the parent that started us as its child is gone. A second signal ends
 * the process as the system does.
 */
export function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    const heard = (): void => {
      process.off('SIGINT', heard)
      process.off('SIGTERM', heard)
      resolve()
    }
    process.on('SIGINT', heard)
    process.on('SIGTERM', heard)
    if (process.connected) {
      process.once('disconnect', heard)
      process.channel?.unref() // hearing the parent's end must not put off our own
    }
  })
}
