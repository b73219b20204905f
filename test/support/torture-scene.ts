/** What the torture tests set up again and again: a folder with published orders, and workers on it. */
import { fileURLToPath } from 'node:url'
import type { App, DatabaseStatus } from '../../src/index.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import { readRows } from './torture-audit.ts'
import type { StartOptions } from './torture-process.ts'
import { temporaryFolder, Worker } from './torture-process.ts'
import type { WorkerConfig } from './torture-worker.ts'
import type { Order, Topology } from './torture-workload.ts'
import { createTables, openApp } from './torture-workload.ts'

export const workerProgram = fileURLToPath(new URL('./torture-worker.ts', import.meta.url))

export interface SceneOptions {
  readonly topology?: Topology
  readonly leaseMs?: number
  /** Another copy of the worker, on another copy of the source. */
  readonly program?: string
}

/** A folder where all orders are published and nothing is consumed. */
export async function publishedFolder(orders: readonly Order[], options: SceneOptions = {}): Promise<string> {
  const scene = new Scene(orders, options)
  const worker = scene.start({ role: 'publish' })
  const { code } = await worker.end()
  if (code !== 0) throw new Error(`the orders could not be published: ${worker.story()}`)
  return scene.folder
}

/** One folder, and the workers on it. */
export class Scene {
  readonly folder: string
  readonly #base: Omit<WorkerConfig, 'role'>
  readonly #program: string

  constructor(orders: readonly Order[], options: SceneOptions & { readonly folder?: string } = {}) {
    this.folder = options.folder ?? temporaryFolder()
    if (options.folder === undefined) createTables(this.folder)
    this.#program = options.program ?? workerProgram
    this.#base = {
      folder: this.folder,
      topology: options.topology ?? 'in-database',
      seed: 1,
      leaseMs: options.leaseMs ?? 1_000,
      orders,
    }
  }

  start(config: Partial<WorkerConfig> & Pick<WorkerConfig, 'role'>, options: StartOptions = {}): Worker {
    return new Worker(this.#program, { ...this.#base, ...config }, options)
  }

  /** One that consumes what is left and ends; fails when it does not end well. */
  async finish(config: Partial<WorkerConfig> = {}): Promise<void> {
    const worker = this.start({ role: 'consume', ...config })
    const { code, signal } = await worker.end()
    if (code !== 0) throw new Error(`the last worker ended with ${code ?? signal}: ${worker.story()}`)
  }

  /** An app in this process that only looks on. */
  observer(): App<unknown> {
    return openApp(this.#base, nodeRuntime(), () => {}) as App<unknown>
  }

  applied(): number {
    return readRows(this.folder).applied.length
  }
}

export function group(status: DatabaseStatus, name: string): DatabaseStatus['groups'][number] {
  const found = status.groups.find((each) => each.group === name)
  if (found === undefined) throw new Error(`no group ${name}`)
  return found
}
