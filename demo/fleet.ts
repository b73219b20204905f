import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FromWorker, ToWorker, WorkerConfig } from './messages.ts'
import { lastWords, startProcess } from './start-process.ts'
import type { KillPlace, WorkerSnapshot } from './worker-state.ts'
import { nothingYet, placeOf, readWorkerState } from './worker-state.ts'

export interface Kill {
  readonly place: KillPlace
  /** The last named point the worker had reached. */
  readonly point: string
}

interface Worker {
  readonly slot: number
  readonly child: ChildProcess
  readonly stateFile: string
  readonly exited: Promise<void>
  ready: boolean
  /** Killed by us, or asked to kill itself. */
  doomed: boolean
  readonly stderr: () => string
  whenIdle: () => void
}

/** What the screen shows of one worker. */
export interface WorkerView {
  readonly pid: number | undefined
  readonly ready: boolean
  readonly incarnation: number
  readonly state: WorkerSnapshot
}

/** The worker processes: started again whenever they die, and killed on request. Every process is ended by its own id. */
export class Fleet {
  readonly kills: Kill[] = []
  /** Handler runs and copies handed over, over all workers that ever ran. */
  handled = 0
  copies = 0
  /** Workers that ended although nobody had killed them: always a bug. */
  readonly accidents: string[] = []
  readonly #config: Omit<WorkerConfig, 'stateFile'>
  readonly #slots: (Worker | undefined)[]
  readonly #incarnations: number[]
  #stopping = false

  constructor(config: Omit<WorkerConfig, 'stateFile'>, workers: number) {
    this.#config = config
    this.#slots = Array.from({ length: workers }, () => undefined)
    this.#incarnations = Array.from({ length: workers }, () => 0)
  }

  start(): void {
    for (const slot of this.#slots.keys()) this.#spawn(slot)
  }

  views(): readonly WorkerView[] {
    return this.#slots.map((worker, slot) => ({
      pid: worker?.child.pid,
      ready: worker?.ready === true,
      incarnation: this.#incarnations[slot] ?? 0,
      state: worker === undefined ? nothingYet : stateOf(worker),
    }))
  }

  get ready(): number {
    return this.#slots.filter((worker) => worker?.ready === true && !worker.doomed).length
  }

  /** SIGKILL from outside, at a moment when the worker has something in its hands; false when none has. */
  async killAtWork(random: () => number): Promise<boolean> {
    for (const worker of shuffled(this.#candidates(), random)) {
      // Not always at the same place of its work: look, wait a moment, strike if it still has work.
      await sleep(random() * 20)
      if (!worker.ready || worker.doomed || !stateOf(worker).busy) continue
      worker.doomed = true
      worker.child.kill('SIGKILL')
      await worker.exited
      return true
    }
    return false
  }

  /** Has a worker kill itself at a named point of its work; false when none came by in time. */
  async killAtPoint(point: string, passes: number, random: () => number, withinMs: number): Promise<boolean> {
    const worker = shuffled(this.#candidates(), random)[0]
    if (worker === undefined) return false
    worker.doomed = true
    tell(worker, { kind: 'die-at', point, passes })
    await Promise.race([worker.exited, sleep(withinMs, undefined, { ref: false })])
    if (worker.child.exitCode !== null || worker.child.signalCode !== null) return true
    // Nothing to do for it at that point: call it off. Should it have died this instant, it counts all the same.
    tell(worker, { kind: 'die-at', point: '', passes: 0 })
    await sleep(20)
    worker.doomed = worker.child.signalCode !== null
    return worker.doomed
  }

  /** Resolves when every worker has nothing left to do; false after `withinMs`. */
  async idle(withinMs: number): Promise<boolean> {
    const answers = this.#slots.map(
      (worker) =>
        new Promise<void>((resolve) => {
          if (worker === undefined) return resolve()
          worker.whenIdle = resolve
          tell(worker, { kind: 'tell-when-idle' })
        }),
    )
    return Promise.race([Promise.all(answers).then(() => true), sleep(withinMs, false, { ref: false })])
  }

  /** Lets every worker finish what it has begun. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping = true
    const workers = this.#slots.filter((worker) => worker !== undefined)
    for (const worker of workers) tell(worker, { kind: 'stop' })
    const late = sleep(withinMs, undefined, { ref: false }).then(() => this.destroy())
    await Promise.race([Promise.all(workers.map(({ exited }) => exited)), late])
  }

  /** Ends every process that is still there, at once. */
  destroy(): void {
    this.#stopping = true
    for (const worker of this.#slots) worker?.child.kill('SIGKILL')
  }

  #candidates(): Worker[] {
    return this.#slots.filter((worker) => worker?.ready === true && !worker.doomed) as Worker[]
  }

  #spawn(slot: number): void {
    const incarnation = (this.#incarnations[slot] ?? 0) + 1
    this.#incarnations[slot] = incarnation
    const stateFile = join(this.#config.dir, `worker-${slot + 1}-${incarnation}.state`)
    const config: WorkerConfig = { ...this.#config, seed: this.#config.seed + slot * 1_000 + incarnation, stateFile }
    const child = startProcess('worker.ts', config)
    const worker: Worker = {
      slot,
      child,
      stateFile,
      ready: false,
      doomed: false,
      stderr: lastWords(child),
      whenIdle: () => {},
      exited: new Promise((resolve) => child.once('close', () => resolve())),
    }
    this.#slots[slot] = worker
    child.on('message', (message: FromWorker) => {
      if (message.kind === 'ready') worker.ready = true
      if (message.kind === 'idle') worker.whenIdle()
    })
    child.once('exit', (code, signal) => this.#ended(worker, code, signal))
  }

  #ended(worker: Worker, code: number | null, signal: NodeJS.Signals | null): void {
    const state = stateOf(worker)
    this.handled += state.handled
    this.copies += state.copies
    worker.ready = false
    if (signal === 'SIGKILL' && (worker.doomed || state.killedItself)) {
      if (!this.#stopping) this.kills.push({ place: placeOf(state), point: state.point })
    } else if (code !== 0 || !this.#stopping) {
      this.accidents.push(
        `worker ${worker.child.pid} ended by itself (${signal ?? `exit code ${code}`}) after '${state.point}'\n${worker.stderr()}`,
      )
    }
    if (!this.#stopping && this.accidents.length < 5) this.#spawn(worker.slot)
  }
}

function stateOf(worker: Worker): WorkerSnapshot {
  try {
    return readWorkerState(worker.stateFile)
  } catch {
    // It has not come so far as to make the file.
    return nothingYet
  }
}

function tell(worker: Worker, message: ToWorker): void {
  // A process that is just dying cannot be told; its end is seen elsewhere.
  if (worker.child.connected) worker.child.send(message, () => {})
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
