import { nodeRuntime } from '../src/runtime/node-runtime.ts'
import { seededRandom } from '../src/testing/index.ts'
import { PaymentProcess } from '../test/support/payment-process.ts'
import type { Engine, Processes, Store, Synchronous } from './engine.ts'
import type { FaultKind, SharedFaultKind, WorkerFaultKind } from './fault-kinds.ts'
import { longestJumpMs, workerFaults } from './faults.ts'
import type { Plan } from './plan.ts'
import { Publications } from './publications.ts'
import { pause, Slot } from './slot.ts'
import type { WorkerConfig } from './worker.ts'
import type { Opened } from './worker-database.ts'
import { openWorkerDatabase } from './worker-database.ts'

export interface ArenaOptions {
  readonly name: string
  readonly topology: WorkerConfig['topology']
  readonly engine: Engine
  readonly store: Store
  readonly slots: number
  readonly seed: number
  readonly synchronous: Synchronous
  readonly kinds: readonly FaultKind[]
  readonly scratch: string
}

/** Short, so that a frozen process is taken over often. */
const leaseMs = 800

/** One database (or two, with a broker beside it), the processes on it, and what is done to them. */
export class Arena implements Processes {
  readonly name: string
  readonly publications = new Publications()
  readonly unexpected: string[] = []
  /** Codes with which `start()` was refused while the database could not be used. */
  readonly refused: string[] = []
  /** Everything that its processes have said. */
  readonly log: string[] = []
  readonly store: Store
  readonly provider: PaymentProcess | undefined
  readonly #options: ArenaOptions
  readonly #slots: Slot[]
  readonly #possible: readonly WorkerFaultKind[]
  /** Set while no process may be started. */
  #dark: Promise<void> | undefined
  #lateMs = 0
  #hurried = false
  #leaseMs = leaseMs
  #over = false
  #lanes: Promise<void>[] = []

  static async open(options: ArenaOptions): Promise<Arena> {
    // With less than FULL the consumers are at-least-once, and none of them makes calls.
    const provider = options.synchronous === 'FULL' ? await PaymentProcess.start({ ...trouble, seed: options.seed }) : undefined
    return new Arena(options, provider)
  }

  private constructor(options: ArenaOptions, provider: PaymentProcess | undefined) {
    this.#options = options
    this.name = options.name
    this.provider = provider
    this.store = options.store
    this.#possible = (Object.keys(workerFaults) as WorkerFaultKind[]).filter((kind) => options.kinds.includes(kind))
    this.#slots = Array.from(
      { length: options.slots },
      (_, number) =>
        new Slot({
          number,
          publications: this.publications,
          config: (start, publish) => ({
            ...this.#setting,
            database: this.store.forWorkers,
            seed: options.seed * 10_000 + 1_000 * number + start,
            publish,
            providerUrl: provider?.url,
            wallAheadMs: this.#lateMs,
          }),
          onLine: (pid, line) => void this.log.push(`${Math.round(performance.now())} ${pid} ${line}`),
          onUnexpected: (story) => this.unexpected.push(`${this.name}: ${story}`),
          onRefused: (code, story) =>
            void (options.engine.refusals.includes(code)
              ? this.refused.push(code)
              : this.unexpected.push(`${this.name}: ${story}`)),
        }),
    )
  }

  /** An app in this process that only looks on. */
  observe(): Opened {
    return openWorkerDatabase(this.store.direct, this.#setting, nodeRuntime(), () => {})
  }

  get synchronous(): Synchronous {
    return this.#options.synchronous
  }

  get #setting(): Pick<WorkerConfig, 'topology' | 'seed' | 'leaseMs'> {
    const { topology, seed } = this.#options
    return { topology, seed, leaseMs: this.#leaseMs }
  }

  get starts(): number {
    return this.#slots.reduce((sum, slot) => sum + slot.starts, 0)
  }

  get #kinds(): readonly FaultKind[] {
    return this.#options.kinds
  }

  get #shared(): readonly SharedFaultKind[] {
    return (Object.keys(this.store.faults) as SharedFaultKind[]).filter((kind) => this.#kinds.includes(kind))
  }

  /** Injects until the plan is over. */
  async torment(plan: Plan): Promise<void> {
    const random = (...about: (string | number)[]): (() => number) => seededRandom(this.#options.seed, this.name, ...about)
    this.#lanes = this.#slots.map((slot) => this.#keepRunning(slot))
    await Promise.all([
      ...this.#slots.map((slot) => this.#tormentSlot(slot, plan, random('slot', slot.number))),
      ...this.#shared.map((kind) => this.#tormentAll(kind, plan, random('disk', kind))),
    ])
  }

  /**
   * The calm after the storm: what was begun is published to its end, by processes whose clocks are past everything that one
   * with a clock that had jumped may have put off.
   */
  async calm(): Promise<void> {
    this.publications.close()
    const jumped = this.#kinds.includes('clock-jump')
    const { calmLeaseMs } = this.#options.engine
    if (jumped) this.#lateMs = longestJumpMs + 3_600_000
    this.#leaseMs = calmLeaseMs ?? leaseMs
    if (jumped || calmLeaseMs !== undefined) await this.restart()
    this.#hurried = true
    for (const slot of this.#slots) slot.tell({ hurry: true })
  }

  async restart(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.stop()))
  }

  /** No further fault, and no further process. */
  stop(): void {
    this.#over = true
  }

  /** Ends all processes as a good neighbour does. */
  async close(): Promise<void> {
    this.#over = true
    await Promise.all(this.#slots.map((slot) => slot.stop()))
    await Promise.all(this.#lanes)
  }

  /** Ends all processes at once, and takes the database away. */
  async destroy(): Promise<void> {
    this.#over = true
    await Promise.all(this.#slots.map((slot) => slot.kill('the end')))
    await Promise.all(this.#lanes)
    await this.provider?.stop()
    await this.store.close()
  }

  async #keepRunning(slot: Slot): Promise<void> {
    while (!this.#over) {
      if (this.#dark !== undefined) {
        await this.#dark
        continue
      }
      const before = slot.worker
      const worker = await slot.run()
      if (worker !== undefined && worker !== before && this.#hurried) slot.tell({ hurry: true })
      await pause(20)
    }
  }

  async #tormentSlot(slot: Slot, plan: Plan, random: () => number): Promise<void> {
    const { topology, scratch, engine } = this.#options
    const context = { random, topology, freezeMs: engine.freezeMs(leaseMs), scratch, calls: this.provider !== undefined }
    while (!plan.over && !this.#over) {
      await pause(30 + random() * 300)
      const kind = slot.isUp ? plan.next(this.#possible, random) : undefined
      if (kind !== undefined) await plan.carryOut(kind, () => workerFaults[kind](slot, context))
    }
  }

  async #tormentAll(kind: SharedFaultKind, plan: Plan, random: () => number): Promise<void> {
    const inject = this.store.faults[kind]
    while (inject !== undefined && !plan.over && !this.#over) {
      await this.#someWork(5 + Math.floor(random() * 25))
      await pause(random() * 500)
      if (plan.over || this.#over || !plan.isDue(kind)) continue
      await plan.carryOut(kind, () => inject(this, random))
    }
  }

  /** Waits until so many more publishes were acknowledged, for a while: a cut that nothing went before shows little. */
  async #someWork(acknowledged: number): Promise<void> {
    const enough = this.publications.acknowledged + acknowledged
    for (let left = 250; left > 0 && this.publications.acknowledged < enough && !this.#over; left--) await pause(20)
  }

  async loseAll(by: FaultKind, cut: () => Promise<void>, restore: () => Promise<void>): Promise<void> {
    let back = (): void => {}
    this.#dark = new Promise((resolve) => {
      back = resolve
    })
    try {
      // From here on nobody is to blame for ending.
      for (const slot of this.#slots) slot.doom(by)
      await Promise.all(this.#slots.map((slot) => slot.freeze()))
      await cut()
      await Promise.all(this.#slots.map((slot) => slot.kill(by)))
      await restore()
    } finally {
      this.#dark = undefined
      back()
    }
  }
}

/** A provider that honours tokens, and of whose answers one in four is lost, late or a refusal. */
const trouble = {
  tokens: 'honoured',
  meanwhile: 'conflict',
  odds: { 'lose-answer': 0.08, late: 0.04, slow: 0.03, 'charge-then-500': 0.04, decline: 0.03, unavailable: 0.05 },
  lateMs: 300,
  workMs: 30,
} as const
