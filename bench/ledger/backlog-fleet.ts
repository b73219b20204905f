import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PostgresServer } from '../../scripts/engines/postgres.ts'
import type { BacklogProcessOptions } from './backlog-process.ts'
import { Child } from './child.ts'
import { cpuMs } from './cpu.ts'
import { batchSize } from './job.ts'
import type { OnefoldSettings } from './with-onefold.ts'

export const workers = 8
const publishers = 3

/** The processes of backlog.ts. */
export class Fleet {
  readonly #server: PostgresServer
  readonly #postmaster: number
  #workers: Child[] = []
  readonly #all = new Set<Child>()

  constructor(server: PostgresServer) {
    this.#server = server
    this.#postmaster = Number(readFileSync(join(server.folder, 'data/postmaster.pid'), 'utf8').split('\n')[0])
  }

  /** Each publishes a part of them, every twentieth twice. Answers how many seconds it took, without the start of the processes. */
  async publish(from: number, to: number, settings: OnefoldSettings): Promise<number> {
    const part = Math.ceil((to - from) / publishers / batchSize) * batchSize
    const processes: Child[] = []
    for (let at = from; at < to; at += part)
      processes.push(await this.#start({ settings, publishes: { from: at, to: Math.min(at + part, to) } }))
    const begun = performance.now()
    for (const child of processes) child.tell('go')
    await Promise.all(processes.map((child) => child.heard('published')))
    const seconds = (performance.now() - begun) / 1_000
    for (const child of processes) await this.#stop(child)
    return seconds
  }

  /** Answers when all are loaded, and connected; they begin at `go`. */
  async startWorkers(settings: OnefoldSettings): Promise<void> {
    while (this.#workers.length < workers) this.#workers.push(await this.#start({ settings }))
  }

  go(): void {
    for (const child of this.#workers) child.tell('go')
  }

  /** Resolves when every worker is in its first transaction. */
  async allApply(): Promise<void> {
    await Promise.all(this.#workers.map((child) => child.heard('applied')))
  }

  async stopWorkers(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((child) => this.#stop(child)))
  }

  /** Of the server's processes and of the workers. */
  cpu(): { readonly server: number; readonly workers: number } | undefined {
    const server = cpuMs([this.#postmaster], true)
    const own = cpuMs(
      this.#workers.map((child) => child.pid),
      false,
    )
    return server === undefined || own === undefined ? undefined : { server, workers: own }
  }

  end(): void {
    for (const child of this.#all) child.kill()
  }

  async #start(options: Omit<BacklogProcessOptions, 'url'>): Promise<Child> {
    const child = new Child('backlog-process.ts', { url: this.#server.url, ...options } satisfies BacklogProcessOptions)
    this.#all.add(child)
    await child.heard('ready')
    return child
  }

  async #stop(child: Child): Promise<void> {
    await child.stop()
    this.#all.delete(child)
  }
}
