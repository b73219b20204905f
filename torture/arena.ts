import { mkdirSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { ErrorCode } from '../src/index.ts'
import { seededRandom } from '../src/testing/index.ts'
import { paidTable } from '../test/support/call-workload.ts'
import { PaymentProcess } from '../test/support/payment-process.ts'
import type { Setting, Topology } from '../test/support/torture-workload.ts'
import { appFile, createTables } from '../test/support/torture-workload.ts'
import type { FillingDisk } from './disks.ts'
import { PowerCutDisk } from './disks.ts'
import type { Fault, FaultKind } from './fault-kinds.ts'
import { longestJumpMs, workerFaults } from './faults.ts'
import type { Plan } from './plan.ts'
import { Publications } from './publications.ts'
import { pause, Slot } from './slot.ts'

export interface ArenaOptions {
  readonly name: string
  readonly topology: Topology
  readonly disk: PowerCutDisk | FillingDisk | undefined
  readonly folder: string
  readonly slots: number
  readonly seed: number
  readonly synchronous: 'FULL' | 'NORMAL'
  readonly kinds: readonly FaultKind[]
  readonly scratch: string
}

/** With which `start()` may be refused while the disk is full or fails. */
const refusals: readonly string[] = ['COMMIT_UNKNOWN', 'DATABASE_FULL', 'DATABASE_IO'] satisfies ErrorCode[]
/** Short, so that a frozen process is taken over often. */
const leaseMs = 800

/** One file (or two, with a broker beside it), the processes on it, and what is done to them. */
export class Arena {
  readonly name: string
  readonly publications = new Publications()
  readonly unexpected: string[] = []
  /** Codes with which `start()` was refused while the disk was full or failing. */
  readonly refused: string[] = []
  /** Everything that its processes have said. */
  readonly log: string[] = []
  readonly setting: Setting
  readonly provider: PaymentProcess | undefined
  readonly #options: ArenaOptions
  readonly #slots: Slot[]
  readonly #possible: readonly (keyof typeof workerFaults)[]
  /** Set while no process may be started. */
  #dark: Promise<void> | undefined
  #lateMs = 0
  #hurried = false
  #over = false
  #lanes: Promise<void>[] = []

  static async open(options: ArenaOptions): Promise<Arena> {
    mkdirSync(options.folder, { recursive: true })
    createTables(options.folder)
    const database = new DatabaseSync(appFile(options.folder))
    database.exec(paidTable)
    database.close()
    // With less than FULL the consumers are at-least-once, and none of them makes calls.
    const provider = options.synchronous === 'FULL' ? await PaymentProcess.start({ ...trouble, seed: options.seed }) : undefined
    return new Arena(options, provider)
  }

  private constructor(options: ArenaOptions, provider: PaymentProcess | undefined) {
    this.#options = options
    this.name = options.name
    this.provider = provider
    this.setting = { ...options, leaseMs }
    this.#possible = (Object.keys(workerFaults) as (keyof typeof workerFaults)[]).filter((kind) => options.kinds.includes(kind))
    this.#slots = Array.from(
      { length: options.slots },
      (_, number) =>
        new Slot({
          number,
          publications: this.publications,
          config: (start, publish) => ({
            ...this.setting,
            seed: options.seed * 10_000 + 1_000 * number + start,
            publish,
            providerUrl: provider?.url,
            wallAheadMs: this.#lateMs,
          }),
          onLine: (pid, line) => void this.log.push(`${Math.round(performance.now())} ${pid} ${line}`),
          onUnexpected: (story) => this.unexpected.push(`${this.name}: ${story}`),
          onRefused: (code, story) =>
            void (refusals.includes(code) ? this.refused.push(code) : this.unexpected.push(`${this.name}: ${story}`)),
        }),
    )
  }

  get starts(): number {
    return this.#slots.reduce((sum, slot) => sum + slot.starts, 0)
  }

  get #kinds(): readonly FaultKind[] {
    return this.#options.kinds
  }

  /** Injects until the plan is over. */
  async torment(plan: Plan): Promise<void> {
    const random = (...about: (string | number)[]): (() => number) => seededRandom(this.#options.seed, this.name, ...about)
    this.#lanes = this.#slots.map((slot) => this.#keepRunning(slot))
    await Promise.all([
      ...this.#slots.map((slot) => this.#tormentSlot(slot, plan, random('slot', slot.number))),
      this.#tormentDisk(plan, random('disk')),
    ])
  }

  /**
   * The calm after the storm: what was begun is published to its end, by processes whose clocks are past everything that one
   * with a clock that had jumped may have put off.
   */
  async calm(): Promise<void> {
    this.publications.close()
    if (this.#kinds.includes('clock-jump')) {
      this.#lateMs = longestJumpMs + 3_600_000
      await this.restart()
    }
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

  /** Ends all processes at once, and takes the disk away. */
  async destroy(): Promise<void> {
    this.#over = true
    await Promise.all(this.#slots.map((slot) => slot.kill('the end')))
    await Promise.all(this.#lanes)
    await this.provider?.stop()
    await this.#options.disk?.unmount()
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
    const { topology, scratch } = this.#options
    const context = { random, topology, leaseMs, scratch, calls: this.provider !== undefined }
    while (!plan.over && !this.#over) {
      await pause(30 + random() * 300)
      const kind = slot.isUp ? plan.next(this.#possible, random) : undefined
      if (kind !== undefined) await plan.carryOut(kind, () => workerFaults[kind as keyof typeof workerFaults](slot, context))
    }
  }

  async #tormentDisk(plan: Plan, random: () => number): Promise<void> {
    const { disk } = this.#options
    const kind = disk instanceof PowerCutDisk ? 'power-cut' : 'full-disk'
    if (disk === undefined || !this.#kinds.includes(kind)) return
    while (!plan.over && !this.#over) {
      await this.#someWork(5 + Math.floor(random() * 25))
      await pause(random() * 500)
      if (plan.over || this.#over || !plan.isDue(kind)) continue
      await plan.carryOut(kind, () => (disk instanceof PowerCutDisk ? this.#cutPower(disk) : this.#fill(disk, random)))
    }
  }

  /** Waits until so many more publishes were acknowledged, for a while: a cut that nothing went before shows little. */
  async #someWork(acknowledged: number): Promise<void> {
    const enough = this.publications.acknowledged + acknowledged
    for (let left = 250; left > 0 && this.publications.acknowledged < enough && !this.#over; left--) await pause(20)
  }

  async #cutPower(disk: PowerCutDisk): Promise<Fault> {
    let back = (): void => {}
    this.#dark = new Promise((resolve) => {
      back = resolve
    })
    try {
      // From here on nobody is to blame for ending.
      for (const slot of this.#slots) slot.doom('power-cut')
      // With the power goes everything at once. A process that lived a moment longer would see what no process can: the page cache
      // of a file system that forgets, and a flush that succeeds because its journal has been given up.
      await Promise.all(this.#slots.map((slot) => slot.freeze()))
      await disk.cut()
      await Promise.all(this.#slots.map((slot) => slot.kill('power-cut')))
      await disk.restore()
    } finally {
      this.#dark = undefined
      back()
    }
    return { kind: 'power-cut', where: this.name }
  }

  async #fill(disk: FillingDisk, random: () => number): Promise<Fault> {
    await disk.fill(Math.floor(random() * 3) * 4_096)
    await pause(300 + random() * 1_000)
    disk.free()
    return { kind: 'full-disk', where: this.name }
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
