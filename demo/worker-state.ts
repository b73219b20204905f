import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

/**
 * What a worker is doing, written to a small file at every named point it reaches, with one `write`: what the file says
 * survives the process, so after a SIGKILL the parent knows where it hit. (Only the machine's own crash could lose it.)
 */
export interface WorkerSnapshot {
  /** The last point reached; '' before the first. */
  readonly point: string
  /** Something was received and is not settled yet. */
  readonly busy: boolean
  /** The worker killed itself at `point`, as it was asked to. */
  readonly killedItself: boolean
  /** Handler runs, those included that were rolled back. */
  readonly handled: number
  /** Copies handed over by the test broker. */
  readonly copies: number
}

export const nothingYet: WorkerSnapshot = { point: '', busy: false, killedItself: false, handled: 0, copies: 0 }

const bytes = 64
const pointAt = 32
const slots = { inHand: 0, killedItself: 1, handled: 2, copies: 3, pointLength: 4 } as const

export class WorkerState {
  readonly #file: number
  readonly #buffer = Buffer.alloc(bytes)
  readonly #numbers = new Int32Array(this.#buffer.buffer, this.#buffer.byteOffset, pointAt / 4)
  #dieAt: { readonly point: string; passes: number } | undefined

  constructor(file: string) {
    this.#file = openSync(file, 'w')
    this.#write()
  }

  /** From now on: die at `point`, after passing it `passes` times. */
  dieAt(point: string, passes: number): void {
    this.#dieAt = { point, passes }
  }

  /** Called by the runtime at every named point. */
  readonly reached = (point: string): void => {
    if (point === 'consume:received') this.#add(slots.inHand, 1)
    if (point === 'consume:settled') this.#add(slots.inHand, -1)
    this.#numbers[slots.pointLength] = this.#buffer.write(point, pointAt, bytes - pointAt, 'latin1')
    const dies = this.#dieAt?.point === point && this.#dieAt.passes-- <= 0
    if (dies) this.#numbers[slots.killedItself] = 1
    this.#write()
    if (dies) {
      process.kill(process.pid, 'SIGKILL')
      // SIGKILL is not survived, but it may take a moment to arrive: not one more instruction until then.
      for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
    }
  }

  handled(): void {
    this.#add(slots.handled, 1)
  }

  copies(count: number): void {
    this.#numbers[slots.copies] = count
  }

  close(): void {
    this.#write()
    closeSync(this.#file)
  }

  #add(slot: number, count: number): void {
    this.#numbers[slot] = (this.#numbers[slot] ?? 0) + count
  }

  #write(): void {
    writeSync(this.#file, this.#buffer, 0, bytes, 0)
  }
}

export function readWorkerState(file: string): WorkerSnapshot {
  const buffer = readFileSync(file)
  if (buffer.length < bytes) return nothingYet
  const number = (slot: number): number => buffer.readInt32LE(slot * 4)
  return {
    point: buffer.toString('latin1', pointAt, pointAt + number(slots.pointLength)),
    busy: number(slots.inHand) > 0,
    killedItself: number(slots.killedItself) > 0,
    handled: number(slots.handled),
    copies: number(slots.copies),
  }
}

/** Where a kill hit. */
export type KillPlace = 'inside-transaction' | 'after-commit' | 'elsewhere-at-work' | 'idle'

const inside = new Set([
  'consume:begun',
  'consume:guarded',
  'consume:claimed',
  'consume:applying',
  'consume:applied',
  'consume:checkpointed',
  'demo:begun',
])
const committed = new Set(['consume:committed', 'demo:committed'])

/**
 * By the last point it had reached. A kill from outside right after 'commit:before' may have come before or after the
 * COMMIT and is counted as neither; a worker that kills itself there has not committed.
 */
export function placeOf({ point, busy, killedItself }: WorkerSnapshot): KillPlace {
  if (inside.has(point) || (point === 'commit:before' && killedItself && busy)) return 'inside-transaction'
  if (committed.has(point)) return 'after-commit'
  return busy ? 'elsewhere-at-work' : 'idle'
}
