/** Chains of workers, each killed at a named point of its work, until a last one is left to finish in peace. */
import { cpSync } from 'node:fs'
import type { Semantics } from '../../src/index.ts'
import type { Point } from '../../src/points.ts'
import { consumePoints, publishPoints, receivePoints, relayPoints } from '../../src/points.ts'
import { seededRandom } from '../../src/testing/index.ts'
import type { Audit } from './torture-audit.ts'
import { audit } from './torture-audit.ts'
import { removeFolder, temporaryFolder, Worker } from './torture-process.ts'
import { publishedFolder, workerProgram } from './torture-scene.ts'
import type { WorkerConfig } from './torture-worker.ts'
import type { Order, Topology } from './torture-workload.ts'
import { createTables, someOrders } from './torture-workload.ts'

export interface KillPlan {
  readonly topology: Topology
  readonly role: 'publish' | 'consume'
  readonly semantics?: Semantics
  readonly point: Point
  /** How many kills are wanted. */
  readonly kills: number
  /** The pass at which a worker dies is drawn from 1 to this. */
  readonly passes: number
}

export interface Chain {
  readonly plan: KillPlan
  /** The pass of the point that each kill hit. */
  readonly killedAt: readonly number[]
  readonly audit: Audit
  /** A worker that nobody had killed did not come to an end. */
  readonly stuck: boolean
  readonly story: string
}

const name = ({ topology, role, semantics, point }: KillPlan): string => `${topology} · ${semantics ?? role} · ${point}`

/** Every point where a promise is made, with how often to kill there. */
export function killPlans(kills: { readonly often: number; readonly seldom: number }): KillPlan[] {
  const inDatabase = { topology: 'in-database', kills: kills.often } as const
  const testBroker = { topology: 'test-broker', kills: kills.seldom } as const
  const passes = (point: Point): number => (point === 'commit:before' ? 12 : 5)
  return [
    ...publishPoints.map((point) => ({ ...inDatabase, role: 'publish' as const, point, passes: 6 })),
    ...consumePoints.map((point) => ({ ...inDatabase, role: 'consume' as const, point, passes: passes(point) })),
    ...publishPoints.map((point) => ({ ...testBroker, role: 'publish' as const, point, passes: 6 })),
    ...[...consumePoints, ...relayPoints].map((point) => ({
      ...testBroker,
      role: 'consume' as const,
      point,
      passes: passes(point),
    })),
    ...receivePoints.slice(1).map((point) => ({
      ...inDatabase,
      kills: kills.seldom,
      role: 'consume' as const,
      semantics: 'at-least-once' as const,
      point,
      passes: 5,
    })),
    ...receivePoints.map((point) => ({
      ...inDatabase,
      kills: kills.seldom,
      role: 'consume' as const,
      semantics: 'at-most-once' as const,
      point,
      passes: 5,
    })),
  ]
}

export interface KillOptions {
  readonly seed: number
  readonly orders?: readonly Order[]
  /** Another copy of the worker, on another copy of the source. */
  readonly program?: string
  /** Kills one after the other on one file, at most. */
  readonly chain?: number
  /** Chains at the same time. */
  readonly parallel?: number
  /** Stops at the first chain that breaks a promise. */
  readonly untilBroken?: boolean
  /** How long a worker may take to finish. */
  readonly boundMs?: number
}

/** Carries out all plans; a chain that does not reach its point again is continued by another with another seed. */
export async function killAtPoints(plans: readonly KillPlan[], options: KillOptions): Promise<Chain[]> {
  const chains: Chain[] = []
  const pending = [...plans]
  const templates = new Map<Topology, Promise<string>>()
  const lane = async (): Promise<void> => {
    for (let plan = pending.shift(); plan !== undefined; plan = pending.shift()) {
      let left = plan.kills
      for (let attempt = 0; left > 0; attempt++) {
        if (attempt > 10 * plan.kills) throw new Error(`${name(plan)} is hardly ever reached`)
        const chain = await killChain(plan, Math.min(left, options.chain ?? 8), attempt, options, templates)
        left -= chain.killedAt.length
        chains.push(chain)
        if (options.untilBroken === true && brokenPromises([chain]).length > 0) {
          pending.length = 0
          return
        }
      }
    }
  }
  const results = await Promise.allSettled(Array.from({ length: options.parallel ?? 4 }, lane))
  for (const result of results) if (result.status === 'rejected') throw result.reason
  return chains
}

async function killChain(
  plan: KillPlan,
  kills: number,
  attempt: number,
  options: KillOptions,
  templates: Map<Topology, Promise<string>>,
): Promise<Chain> {
  const random = seededRandom(options.seed, name(plan), attempt)
  const orders = options.orders ?? someOrders(6, 8)
  const program = options.program ?? workerProgram
  const folder = temporaryFolder()
  const base: Omit<WorkerConfig, 'role'> = {
    folder,
    topology: plan.topology,
    seed: options.seed * 1_000 + attempt,
    leaseMs: 1_000,
    orders,
    ...(plan.semantics === undefined ? {} : { semantics: plan.semantics }),
  }
  const stories: string[] = []
  let stuck = false
  const run = async (config: WorkerConfig): Promise<boolean> => {
    const worker = new Worker(program, config)
    const { code, signal, late } = await worker.endOrKill(options.boundMs ?? 30_000)
    stories.push(worker.story())
    stuck ||= late
    if (late) return false
    if (signal === 'SIGKILL' && config.halt !== undefined && worker.said('halted') !== undefined) return true
    if (code !== 0)
      throw new Error(`${name(plan)}: ended with ${code ?? signal}, and nobody had killed it: ${stories.join('\n')}`)
    return false
  }
  if (plan.role === 'publish') createTables(folder)
  else {
    let template = templates.get(plan.topology)
    if (template === undefined) {
      template = publishedFolder(orders, { topology: plan.topology, program })
      templates.set(plan.topology, template)
    }
    cpSync(await template, folder, { recursive: true })
  }
  const killedAt: number[] = []
  while (killedAt.length < kills) {
    const pass = 1 + Math.floor(random() * plan.passes)
    const killed = await run({
      ...base,
      role: plan.role,
      seed: base.seed + killedAt.length,
      halt: { at: plan.point, pass, signal: 'SIGKILL' },
    })
    if (!killed) break
    killedAt.push(pass)
  }
  if (plan.role === 'publish') await run({ ...base, role: 'publish' })
  await run({ ...base, role: 'consume' })
  const judged = audit(folder, orders)
  removeFolder(folder)
  return { plan, killedAt, audit: judged, stuck, story: stories.join('\n') }
}

/** What broke the promise of its chain's semantics, with the story of that chain's workers. */
export function brokenPromises(
  chains: readonly Chain[],
): { readonly where: string; readonly found: Partial<Audit>; readonly stuck: boolean; readonly story: string }[] {
  return chains
    .map((chain) => ({ where: name(chain.plan), found: violations(chain), stuck: chain.stuck, story: chain.story }))
    .filter(({ found, stuck }) => stuck || Object.keys(found).length > 0)
}

function violations({ plan, audit: judged }: Chain): Partial<Audit> {
  const promised: (keyof Audit)[] =
    plan.semantics === 'at-least-once'
      ? ['lost', 'outOfOrder', 'neverPublished', 'totalsWrong', 'acceptedTwice']
      : plan.semantics === 'at-most-once'
        ? ['appliedTwice', 'outOfOrder', 'neverPublished', 'totalsWrong', 'acceptedTwice']
        : (Object.keys(judged) as (keyof Audit)[])
  return Object.fromEntries(promised.filter((finding) => judged[finding].length > 0).map((finding) => [finding, judged[finding]]))
}

/** Kills per point, as a table. */
export function histogram(chains: readonly Chain[]): string {
  const rows = Map.groupBy(chains, ({ plan }) => name(plan))
  const lines = [...rows].map(([row, ofPoint]) => {
    const passes = ofPoint.flatMap((chain) => chain.killedAt)
    return `${row.padEnd(58)} ${String(passes.length).padStart(4)}  passes ${Math.min(...passes)}–${Math.max(...passes)}`
  })
  const total = chains.reduce((sum, chain) => sum + chain.killedAt.length, 0)
  return [...lines, `${'kills in all'.padEnd(58)} ${String(total).padStart(4)}`].join('\n')
}
