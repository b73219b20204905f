import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { historyToLines } from '../src/testing/index.ts'
import { endWorkers } from '../test/support/worker-process.ts'
import { Arena } from './arena.ts'
import { FillingDisk, PowerCutDisk } from './disks.ts'
import type { Fault, FaultKind } from './fault-kinds.ts'
import { Interrupted } from './interrupted.ts'
import type { Verdict } from './judge.ts'
import { judge } from './judge.ts'
import type { Skip } from './machine.ts'
import { cannotDo } from './machine.ts'
import { Plan } from './plan.ts'
import type { Settings } from './settings.ts'

export interface Result {
  readonly settings: Settings
  /** Where the files are, when something was violated. */
  readonly evidence: string | undefined
  readonly seconds: number
  readonly faults: readonly Fault[]
  readonly skipped: readonly Skip[]
  readonly starts: number
  readonly verdicts: readonly Verdict[]
  readonly refused: readonly string[]
}

/** One run: its arenas, its plan, and what is left to be cleaned up. */
export class Run {
  readonly #settings: Settings
  readonly #scratch: string
  readonly #noMounts: string | undefined
  readonly #arenas: Arena[] = []
  readonly #images: string[] = []
  #plan: Plan | undefined
  #phase = 'looks at what the machine allows'
  #interrupted = false

  /** `scratch`: an empty folder. `noMounts`: why nothing can be mounted. */
  constructor(settings: Settings, scratch: string, noMounts: string | undefined) {
    this.#settings = settings
    this.#scratch = scratch
    this.#noMounts = noMounts
  }

  /** For a line on a terminal. */
  progress(): string {
    const faults = this.#plan?.faults ?? []
    const cuts = faults.filter(({ kind }) => kind === 'power-cut').length
    const acknowledged = this.#arenas.reduce((sum, arena) => sum + arena.publications.acknowledged, 0)
    return `${this.#phase} · ${faults.length} faults, ${cuts} power cuts · ${acknowledged} publishes acknowledged`
  }

  /** What is under way is given up. */
  interrupt(): void {
    this.#interrupted = true
    for (const arena of this.#arenas) arena.stop()
  }

  /** @throws Interrupted when it was. */
  async toItsEnd(): Promise<Result> {
    const settings = this.#settings
    const started = performance.now()
    const skipped = await cannotDo(settings.only, this.#scratch, this.#noMounts)
    const kinds = settings.only.filter((kind) => !skipped.some((skip) => skip.kind === kind))
    this.#phase = 'makes disks'
    await this.#open(kinds)
    this.#check()

    const plan = new Plan(kinds, settings)
    this.#plan = plan
    this.#phase = 'injects'
    if (kinds.length > 0) await Promise.all(this.#arenas.map((arena) => arena.torment(plan)))
    this.#check()
    this.#phase = 'lets all come to rest, and audits'
    const verdicts =
      kinds.length === 0 ? [] : await Promise.all(this.#arenas.map((arena) => judge(arena, () => this.#interrupted)))
    this.#check()
    const violated = verdicts.some((verdict) => verdict.violations.length + verdict.otherwise.length > 0)
    return {
      evidence: violated ? this.#keepEvidence(verdicts) : undefined,
      settings,
      seconds: (performance.now() - started) / 1_000,
      faults: plan.faults,
      skipped,
      starts: this.#arenas.reduce((sum, arena) => sum + arena.starts, 0),
      verdicts,
      refused: this.#arenas.flatMap((arena) => arena.refused),
    }
  }

  /** The files, the histories, and what the processes said, for whoever wants to know why. Answers the folder. */
  #keepEvidence(verdicts: readonly Verdict[]): string {
    const evidence = mkdtempSync(join(tmpdir(), 'onefold-torture-evidence-'))
    for (const { name, setting, log } of this.#arenas) {
      cpSync(setting.folder, join(evidence, name), { recursive: true, filter: (path) => !path.endsWith('lost+found') })
      writeFileSync(join(evidence, `${name}.log`), log.join('\n'))
    }
    for (const { arena, history } of verdicts) writeFileSync(join(evidence, `${arena}.history`), historyToLines(history))
    return evidence
  }

  /** Ends all processes that were started, and takes away disks and files. */
  async cleanUp(): Promise<void> {
    await Promise.allSettled(this.#arenas.map((arena) => arena.destroy()))
    await endWorkers()
    for (const file of [...this.#images, this.#scratch]) rmSync(file, { recursive: true, force: true })
  }

  #check(): void {
    if (this.#interrupted) throw new Interrupted('interrupted')
  }

  async #open(kinds: readonly FaultKind[]): Promise<void> {
    const { seed, synchronous } = this.#settings
    const common = { seed, synchronous, kinds, scratch: this.#scratch }
    const elsewhere = kinds.filter((kind) => kind !== 'full-disk')
    for (const topology of ['in-database', 'test-broker'] as const) {
      if (elsewhere.length === 0) break
      const folder = join(this.#scratch, topology)
      mkdirSync(folder)
      const disk = kinds.includes('power-cut') ? await this.#powerCutDisk(topology, folder) : undefined
      this.#arenas.push(await Arena.open({ ...common, name: topology, topology, disk, folder, slots: 3 }))
      this.#check()
    }
    if (!kinds.includes('full-disk')) return
    const folder = join(this.#scratch, 'small-disk')
    const disk = FillingDisk.mount(folder)
    this.#arenas.push(await Arena.open({ ...common, name: 'small-disk', topology: 'in-database', disk, folder, slots: 2 }))
  }

  async #powerCutDisk(name: string, folder: string): Promise<PowerCutDisk> {
    const image = join(PowerCutDisk.home(this.#scratch), `onefold-torture-${process.pid}-${name}.img`)
    this.#images.push(image)
    return await PowerCutDisk.make(folder, image)
  }
}
