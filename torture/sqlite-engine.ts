/** One file, or two where a broker is beside it, on disks whose power is cut or that run full. */
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { ErrorCode } from '../src/index.ts'
import { paidTable } from '../test/support/call-workload.ts'
import type { Topology } from '../test/support/torture-workload.ts'
import { appFile, brokerFile, createTables } from '../test/support/torture-workload.ts'
import { FillingDisk, PowerCutDisk } from './disks.ts'
import type { ArenaPlan, Engine, SharedFault, Store, Synchronous } from './engine.ts'
import type { FaultKind } from './fault-kinds.ts'
import type { Rows } from './history.ts'
import { rowStatements } from './history.ts'
import type { Skip } from './machine.ts'
import { cannotDo } from './machine.ts'
import { pause } from './slot.ts'

export interface SqliteEngineOptions {
  readonly scratch: string
  readonly synchronous: Synchronous
  /** Why nothing can be mounted. */
  readonly noMounts: string | undefined
}

export class SqliteEngine implements Engine {
  readonly name = 'sqlite'
  /** While the disk is full or fails. */
  readonly refusals: readonly string[] = ['COMMIT_UNKNOWN', 'DATABASE_FULL', 'DATABASE_IO'] satisfies ErrorCode[]
  readonly calmLeaseMs = undefined
  readonly #options: SqliteEngineOptions
  readonly #images: string[] = []

  constructor(options: SqliteEngineOptions) {
    this.#options = options
  }

  freezeMs(leaseMs: number) {
    const freeze = [1.2 * leaseMs, 2.2 * leaseMs] as const
    return { freeze, 'freeze-in-transaction': freeze }
  }

  cannotDo(kinds: readonly FaultKind[]): Promise<Skip[]> {
    return cannotDo(kinds, this.#options.scratch, this.#options.noMounts)
  }

  arenas(kinds: readonly FaultKind[]): readonly ArenaPlan[] {
    const plans: ArenaPlan[] = []
    const elsewhere = kinds.filter((kind) => kind !== 'full-disk')
    for (const topology of ['in-database', 'test-broker'] as const) {
      if (elsewhere.length === 0) break
      plans.push({ name: topology, topology, slots: 3, open: () => this.#open(topology, kinds.includes('power-cut')) })
    }
    if (kinds.includes('full-disk'))
      plans.push({ name: 'small-disk', topology: 'in-database', slots: 2, open: async () => this.#openSmall() })
    return plans
  }

  async cleanUp(): Promise<void> {
    for (const image of this.#images) rmSync(image, { force: true })
  }

  async #open(topology: Topology, losesPower: boolean): Promise<Store> {
    const { scratch, synchronous } = this.#options
    const folder = join(scratch, topology)
    mkdirSync(folder)
    if (!losesPower) return new SqliteStore({ folder, topology, synchronous, close: async () => {}, faults: {} })
    const image = join(PowerCutDisk.home(scratch), `onefold-torture-${process.pid}-${topology}.img`)
    this.#images.push(image)
    const disk = await PowerCutDisk.make(folder, image)
    return new SqliteStore({
      folder,
      topology,
      synchronous,
      close: () => disk.unmount(),
      faults: { 'power-cut': (processes) => cutPower(disk, processes) },
    })
  }

  #openSmall(): Store {
    const { scratch, synchronous } = this.#options
    const folder = join(scratch, 'small-disk')
    const disk = FillingDisk.mount(folder)
    const fault: SharedFault = ({ name }, random) => fill(disk, name, random)
    const close = async (): Promise<void> => disk.unmount()
    return new SqliteStore({ folder, topology: 'in-database', synchronous, close, faults: { 'full-disk': fault } })
  }
}

interface SqliteStoreOptions extends Pick<Store, 'close' | 'faults'> {
  readonly folder: string
  readonly topology: Topology
  readonly synchronous: Synchronous
}

class SqliteStore implements Store {
  readonly forWorkers: Store['forWorkers']
  readonly direct: Store['direct']
  readonly faults: Store['faults']
  readonly close: Store['close']
  readonly #folder: string
  readonly #files: readonly string[]

  constructor({ folder, topology, synchronous, faults, close }: SqliteStoreOptions) {
    this.forWorkers = { engine: 'sqlite', folder, synchronous }
    this.direct = this.forWorkers
    this.faults = faults
    this.close = close
    this.#folder = folder
    this.#files = topology === 'in-database' ? [appFile(folder)] : [appFile(folder), brokerFile(folder)]
    createTables(folder)
    using database = new DatabaseSync(appFile(folder))
    database.exec(paidTable)
  }

  async readRows(): Promise<Rows> {
    using database = new DatabaseSync(appFile(this.#folder), { timeout: 10_000 })
    const read = Object.entries(rowStatements).map(([name, sql]) => [name, database.prepare(sql).all()])
    return Object.fromEntries(read) as Rows
  }

  async damage(): Promise<string[]> {
    return this.#files.flatMap((file) => {
      using database = new DatabaseSync(file)
      const found = database.prepare('pragma integrity_check').all() as { integrity_check: string }[]
      return found.filter((row) => row.integrity_check !== 'ok').map((row) => `${file}: ${row.integrity_check}`)
    })
  }

  async keepEvidence(folder: string): Promise<void> {
    cpSync(this.#folder, folder, { recursive: true, filter: (path) => !path.endsWith('lost+found') })
  }
}

const cutPower = async (disk: PowerCutDisk, processes: Parameters<SharedFault>[0]): ReturnType<SharedFault> => {
  // With the power goes everything at once. A process that lived a moment longer would see what no process can: the page cache
  // of a file system that forgets, and a flush that succeeds because its journal has been given up.
  await processes.loseAll(
    'power-cut',
    () => disk.cut(),
    () => disk.restore(),
  )
  return { kind: 'power-cut', where: processes.name }
}

async function fill(disk: FillingDisk, where: string, random: () => number): ReturnType<SharedFault> {
  await disk.fill(Math.floor(random() * 3) * 4_096)
  await pause(300 + random() * 1_000)
  disk.free()
  return { kind: 'full-disk', where }
}
