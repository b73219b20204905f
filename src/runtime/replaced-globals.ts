import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
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
 * Replaces `Date`, `Math.random`, random UUIDs and bytes, the timers, `fetch` and outgoing connections of this process until
 * disposed. Whoever asks while `surroundings` answers undefined gets the real ones. What a module took hold of before is not reached.
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
  const { randomUUID, randomBytes } = crypto
  const simulatedUUID = (options?: Parameters<typeof randomUUID>[0]): ReturnType<typeof randomUUID> => {
    const around = surroundings()
    return around === undefined ? randomUUID(options) : uuidOf(around)
  }
  crypto.randomUUID = simulatedUUID
  crypto.randomBytes = ((size: number, callback?: (error: Error | null, bytes: Buffer) => void) => {
    const around = surroundings()
    if (around === undefined) return callback === undefined ? randomBytes(size) : randomBytes(size, callback)
    const bytes = bytesOf(around, size)
    if (callback === undefined) return bytes
    around.timer(0, () => callback(null, bytes))
    return undefined
  }) as typeof randomBytes
  // So that `import { randomUUID } from 'node:crypto'` sees them too.
  syncBuiltinESMExports()
  const web = globalThis.crypto
  Object.defineProperty(web, 'randomUUID', { value: simulatedUUID, configurable: true })
  Socket.prototype.connect = function (this: Socket, ...given: never[]): Socket {
    surroundings()?.refuse('a network connection', new Error('here'))
    return (connect as (...parameters: never[]) => Socket).apply(this, given)
  } as typeof connect
  return {
    [Symbol.dispose]() {
      Object.assign(globalThis, before)
      Math.random = random
      Socket.prototype.connect = connect
      crypto.randomUUID = randomUUID
      crypto.randomBytes = randomBytes
      syncBuiltinESMExports()
      Reflect.deleteProperty(web, 'randomUUID')
    },
  }
}

function bytesOf(around: Surroundings, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; at++) bytes[at] = Math.floor(around.random() * 256)
  return bytes
}

/** Of version 4 in form. */
function uuidOf(around: Surroundings): ReturnType<typeof crypto.randomUUID> {
  const bytes = bytesOf(around, 16)
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
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
