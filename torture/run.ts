import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { historyToLines } from '../src/testing/index.ts'
import { endWorkers } from '../test/support/worker-process.ts'
import { Arena } from './arena.ts'
import type { Engine } from './engine.ts'
import type { Fault, FaultKind } from './fault-kinds.ts'
import { Interrupted } from './interrupted.ts'
import type { Verdict } from './judge.ts'
import { judge } from './judge.ts'
import type { Skip } from './machine.ts'
import { Plan } from './plan.ts'
import { PostgresEngine } from './postgres-engine.ts'
import type { Settings } from './settings.ts'
import { SqliteEngine } from './sqlite-engine.ts'

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
  readonly #engine: Engine
  readonly #arenas: Arena[] = []
  #plan: Plan | undefined
  #phase = 'looks at what the machine allows'
  #interrupted = false

  /** `scratch`: an empty folder. `noMounts`: why nothing can be mounted. */
  constructor(settings: Settings, scratch: string, noMounts: string | undefined) {
    this.#settings = settings
    this.#scratch = scratch
    const { synchronous } = settings
    this.#engine =
      settings.engine === 'sqlite'
        ? new SqliteEngine({ scratch, synchronous, noMounts })
        : new PostgresEngine({ scratch, synchronous })
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
    const skipped = await this.#engine.cannotDo(settings.only)
    const kinds = settings.only.filter((kind) => !skipped.some((skip) => skip.kind === kind))
    this.#phase = this.#engine.name === 'sqlite' ? 'makes disks' : 'starts servers'
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
      evidence: violated ? await this.#keepEvidence(verdicts) : undefined,
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
  async #keepEvidence(verdicts: readonly Verdict[]): Promise<string> {
    const evidence = mkdtempSync(join(tmpdir(), 'onefold-torture-evidence-'))
    for (const { name, store, log } of this.#arenas) {
      await store.keepEvidence(join(evidence, name))
      writeFileSync(join(evidence, `${name}.log`), log.join('\n'))
    }
    for (const { arena, history } of verdicts) writeFileSync(join(evidence, `${arena}.history`), historyToLines(history))
    return evidence
  }

  /** Ends all processes that were started, and takes away disks and files. */
  async cleanUp(): Promise<void> {
    await Promise.allSettled(this.#arenas.map((arena) => arena.destroy()))
    await endWorkers()
    await this.#engine.cleanUp()
    rmSync(this.#scratch, { recursive: true, force: true })
  }

  #check(): void {
    if (this.#interrupted) throw new Interrupted('interrupted')
  }

  async #open(kinds: readonly FaultKind[]): Promise<void> {
    const { seed, synchronous } = this.#settings
    const common = { seed, synchronous, kinds, scratch: this.#scratch, engine: this.#engine }
    for (const { open, ...plan } of this.#engine.arenas(kinds)) {
      const store = await open()
      try {
        this.#arenas.push(await Arena.open({ ...common, ...plan, store }))
      } catch (error) {
        await store.close()
        throw error
      }
      this.#check()
    }
  }
}
