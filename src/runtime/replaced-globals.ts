import { Socket } from 'node:net'

/** What code sees of time, chance and the network while somebody simulates them. */
export interface Surroundings {
  readonly nowMs: number
  random(): number
  timer(ms: number, task: () => void): { cancel(): void }
  /** Code reached for what is not simulated. `here` was made where it did. */
  refuse(what: string, here: Error): never
}

interface Handle {
  cancel(): void
  ref(): void
  unref(): void
}

type Timers = Pick<typeof globalThis, 'setTimeout' | 'setInterval' | 'setImmediate' | 'clearTimeout' | 'clearInterval'>

/**
 * Replaces `Date`, `Math.random`, the timers, `fetch` and outgoing connections of this process until disposed. Whoever asks while
 * `surroundings` answers undefined gets the real ones. What a module took hold of before, and `node:crypto`, is not reached.
 */
export function replaceGlobals(surroundings: () => Surroundings | undefined): Disposable {
  const before = {
    Date: globalThis.Date,
    fetch: globalThis.fetch,
    setTimeout: globalThis.setTimeout,
    setInterval: globalThis.setInterval,
    setImmediate: globalThis.setImmediate,
    clearTimeout: globalThis.clearTimeout,
    clearInterval: globalThis.clearInterval,
  }
  const { random } = Math
  const { connect } = Socket.prototype
  Object.assign(globalThis, replacedTimers(surroundings, before), {
    Date: replacedDate(surroundings, before.Date),
    fetch: ((...given: Parameters<typeof fetch>) => {
      const target = given[0]
      surroundings()?.refuse(`fetch(${target instanceof Request ? target.url : String(target)})`, new Error('here'))
      return before.fetch(...given)
    }) satisfies typeof fetch,
  })
  Math.random = () => surroundings()?.random() ?? random()
  Socket.prototype.connect = function (this: Socket, ...given: never[]): Socket {
    surroundings()?.refuse('a network connection', new Error('here'))
    return (connect as (...parameters: never[]) => Socket).apply(this, given)
  } as typeof connect
  return {
    [Symbol.dispose]() {
      Object.assign(globalThis, before)
      Math.random = random
      Socket.prototype.connect = connect
    },
  }
}

function replacedDate(surroundings: () => Surroundings | undefined, RealDate: DateConstructor): DateConstructor {
  return class extends RealDate {
    constructor(...given: unknown[]) {
      const now = given.length === 0 ? surroundings()?.nowMs : undefined
      super(...((now === undefined ? given : [now]) as []))
    }

    static override now(): number {
      return surroundings()?.nowMs ?? RealDate.now()
    }
  } as DateConstructor
}

function replacedTimers(surroundings: () => Surroundings | undefined, before: Timers): Timers {
  const handleOf = (timer: () => { cancel(): void }): Handle => ({ cancel: () => timer().cancel(), ref() {}, unref() {} })
  const once = (ms: number, task: () => void): Handle | undefined => {
    const timer = surroundings()?.timer(ms, task)
    return timer === undefined ? undefined : handleOf(() => timer)
  }
  const clear =
    (real: (handle: never) => void) =>
    (handle: unknown): void => {
      const { cancel } = (handle ?? {}) as Partial<Handle>
      if (typeof cancel === 'function') cancel()
      else real(handle as never)
    }
  const replaced = {
    setTimeout: (task: (...given: unknown[]) => void, ms = 0, ...given: unknown[]) =>
      once(timerMs(ms), () => task(...given)) ?? before.setTimeout(task, ms, ...given),
    setImmediate: (task: (...given: unknown[]) => void, ...given: unknown[]) =>
      once(0, () => task(...given)) ?? before.setImmediate(task, ...given),
    setInterval: (task: (...given: unknown[]) => void, ms = 0, ...given: unknown[]) => {
      const now = surroundings()
      if (now === undefined) return before.setInterval(task, ms, ...given)
      const again = (): void => {
        timer = now.timer(timerMs(ms), again)
        task(...given)
      }
      let timer = now.timer(timerMs(ms), again)
      return handleOf(() => timer)
    },
    clearTimeout: clear(before.clearTimeout),
    clearInterval: clear(before.clearInterval),
  }
  return replaced as unknown as Timers
}

/** As Node takes what it is given: whole milliseconds, and one for what makes no sense. A clock must stay in whole ones. */
function timerMs(ms: number): number {
  return ms >= 1 && ms <= 2_147_483_647 ? Math.trunc(ms) : 1
}
