import { rejected } from './surroundings.ts'

/**
 * Until disposed, rejections that nobody waits for are told to the running world first. Those of a simulated process are no concern
 * of this one; all others go to whoever listened before, or end it.
 */
export function hearRejections(): Disposable {
  const others = process.rawListeners('unhandledRejection') as NodeJS.UnhandledRejectionListener[]
  const hear: NodeJS.UnhandledRejectionListener = (reason, promise) => {
    if (rejected(reason)) return
    if (others.length === 0) throw reason
    for (const other of others) other(reason, promise)
  }
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', hear)
  return {
    [Symbol.dispose]() {
      process.off('unhandledRejection', hear)
      for (const other of others) process.on('unhandledRejection', other)
    },
  }
}
