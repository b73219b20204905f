import type { Awaitable } from '../message.ts'
import { isThenable } from '../message.ts'
import type { Runtime } from '../runtime.ts'

/**
 * Resolves as `work` does, unless the limit passes or `outer` aborts first. Then its signal is aborted, it is no longer
 * waited for, and the error is the one given for the case.
 */
export async function withinTime<R>(
  runtime: Runtime,
  options: {
    readonly limitMs: number
    readonly outer: AbortSignal
    readonly expired: () => Error
    readonly stopped: () => Error
  },
  work: (signal: AbortSignal) => Awaitable<R>,
): Promise<R> {
  const { outer } = options
  if (outer.aborted) throw options.stopped()
  const controller = new AbortController()
  const result = work(controller.signal)
  if (!isThenable(result)) return result
  let timer: Disposable | undefined
  let stop: (() => void) | undefined
  try {
    return await Promise.race([
      result,
      new Promise<never>((_, reject) => {
        const end = (error: Error): void => {
          // First: the work may throw something of its own when it is told.
          reject(error)
          controller.abort(error)
        }
        timer = runtime.after(options.limitMs, () => end(options.expired()))
        stop = () => end(options.stopped())
        outer.addEventListener('abort', stop, { once: true })
      }),
    ])
  } finally {
    timer?.[Symbol.dispose]()
    if (stop !== undefined) outer.removeEventListener('abort', stop)
  }
}
