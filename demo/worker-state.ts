import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

/**
 * What a worker is doing, written to a small file at every named point it reaches, with one `write`: what the file says
 * survives the process, so after a SIGKILL the parent knows where it hit. (Only the machine's own crash could lose it.)
 */
export interface WorkerSnapshot {
  /** The last point reached; '' before the first. */
  readonly point: string
  readonly points: number
  readonly insideTransaction: boolean
  /** Committed, and the broker not yet told. */
  readonly unacknowledged: boolean
  /** Something was received and is not settled yet. */
  readonly busy: boolean
  /** The worker killed itself at `point`, as it was asked to. */
  readonly killedItself: boolean
  /** Handler runs, those included that were rolled back. */
  readonly handled: number
  /** Copies handed over by the test broker. */
  readonly copies: number
}

const bytes = 64
const slots = {
  points: 0,
  inside: 1,
  unacknowledged: 2,
  inHand: 3,
  killedItself: 4,
  handled: 5,
  copies: 6,
  pointLength: 7,
} as const
const pointAt = 32

/** Points at which a transaction with effects begins and has committed, by whichever way the worker consumes. */
const begins = new Set(['consume:begun', 'demo:begun'])
const commits = new Set(['consume:committed', 'demo:committed'])
const rollsBack = new Set(['consume:rolled-back'])

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
    const numbers = this.#numbers
    this.#add(slots.points, 1)
    if (begins.has(point)) numbers[slots.inside] = 1
    if (rollsBack.has(point)) numbers[slots.inside] = 0
    if (commits.has(point)) {
      numbers[slots.inside] = 0
      this.#add(slots.unacknowledged, 1)
    }
    if (point === 'consume:received') this.#add(slots.inHand, 1)
    if (point === 'consume:settled') {
      this.#add(slots.inHand, -1)
      numbers[slots.unacknowledged] = 0
    }
    numbers[slots.pointLength] = this.#buffer.write(point, pointAt, bytes - pointAt, 'latin1')
    const dies = this.#dieAt?.point === point && this.#dieAt.passes-- <= 0
    if (dies) numbers[slots.killedItself] = 1
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
  const number = (slot: number): number => (buffer.length < bytes ? 0 : buffer.readInt32LE(slot * 4))
  return {
    point: buffer.toString('latin1', pointAt, pointAt + number(slots.pointLength)),
    points: number(slots.points),
    insideTransaction: number(slots.inside) > 0,
    unacknowledged: number(slots.unacknowledged) > 0,
    busy: number(slots.inHand) > 0 || number(slots.inside) > 0,
    killedItself: number(slots.killedItself) > 0,
    handled: number(slots.handled),
    copies: number(slots.copies),
  }
}
