/** What can be done to one worker process. Each answers the fault that took place, or undefined when none did. */
import type { Point } from '../src/points.ts'
import { callPoints, consumePoints, publishPoints, relayPoints } from '../src/points.ts'
import type { Topology } from '../test/support/torture-workload.ts'
import type { Engine } from './engine.ts'
import type { Fault, WorkerFaultKind } from './fault-kinds.ts'
import type { Slot } from './slot.ts'
import { pause, within } from './slot.ts'
import { failSystemCall, killAtSystemCall } from './system-call-faults.ts'

export interface FaultContext {
  readonly random: () => number
  readonly topology: Topology
  readonly freezeMs: ReturnType<Engine['freezeMs']>
  /** Outside every disk that is meddled with. */
  readonly scratch: string
  /** Charges are made, so the points of calls are passed. */
  readonly calls: boolean
}

const inTransaction: readonly Point[] = [
  'publish:begun',
  'publish:appended',
  'consume:begun',
  'consume:guarded',
  'consume:claimed',
  'consume:applying',
  'consume:applied',
  'consume:checkpointed',
  'commit:before',
]
/** How long a named point is waited for. */
const patienceMs = 1_500

type Inject = (slot: Slot, context: FaultContext) => Promise<Fault | undefined>

export const workerFaults: Readonly<Record<WorkerFaultKind, Inject>> = {
  kill,
  'kill-at-point': killAtPoint,
  'kill-at-system-call': killAtSystemCall,
  freeze: (slot, context) => freeze('freeze', slot, context),
  'freeze-in-transaction': (slot, context) => freeze('freeze-in-transaction', slot, context),
  'system-call-error': failSystemCall,
  'clock-jump': jump,
}

async function kill(slot: Slot): Promise<Fault | undefined> {
  const { worker } = slot
  if (worker === undefined || !slot.doom('kill')) return undefined
  worker.kill('SIGKILL')
  await worker.ended
  return slot.doomedBy === 'kill' ? { kind: 'kill', where: 'any time' } : undefined
}

/** Where the point is not passed for a while the process is killed all the same. */
async function killAtPoint(slot: Slot, context: FaultContext): Promise<Fault | undefined> {
  const { worker } = slot
  if (worker === undefined || !slot.doom('kill-at-point')) return undefined
  const at = oneOf(pointsOf(context), context.random)
  const where = await slot.halt({ at, pass: passOf(context), signal: 'SIGKILL' }, patienceMs)
  worker.kill('SIGKILL')
  await worker.ended
  if (where !== undefined) return { kind: 'kill-at-point', where }
  return slot.doomedBy === 'kill-at-point' ? { kind: 'kill', where: 'any time' } : undefined
}

async function freeze(kind: 'freeze' | 'freeze-in-transaction', slot: Slot, context: FaultContext): Promise<Fault | undefined> {
  const { worker } = slot
  if (worker === undefined) return undefined
  const points = pointsOf(context).filter((point) => inTransaction.includes(point) === (kind === 'freeze-in-transaction'))
  const where = await slot.halt({ at: oneOf(points, context.random), pass: passOf(context), signal: 'SIGSTOP' }, patienceMs)
  if (slot.worker !== worker) return undefined
  if (where === undefined) worker.kill('SIGSTOP')
  const [least, most] = context.freezeMs[where === undefined ? 'freeze' : kind]
  await within(least + context.random() * (most - least), worker.ended)
  if (slot.worker !== worker || slot.doomedBy !== undefined) return undefined
  worker.kill('SIGCONT')
  return where === undefined ? { kind: 'freeze', where: 'any time' } : { kind, where }
}

/** From a second to a month; the monotonic clock only forward, as after a sleep of the machine. */
async function jump(slot: Slot, { random }: FaultContext): Promise<Fault | undefined> {
  if (slot.worker === undefined) return undefined
  const size = 1_000 * (30 * 24 * 3_600) ** random()
  const wallMs = Math.round(random() < 0.5 ? size : -size)
  const monotonicMs = random() < 0.3 ? Math.round(random() * 60_000) : 0
  slot.tell({ wallMs, monotonicMs })
  await pause(200)
  return { kind: 'clock-jump', where: wallMs > 0 ? 'forward' : 'back' }
}

/** The longest a clock is jumped by, in ms. */
export const longestJumpMs = 30 * 24 * 3_600_000

function pointsOf({ topology, calls }: FaultContext): readonly Point[] {
  if (!calls) return publishPoints
  const points: Point[] = [...publishPoints, ...consumePoints, ...callPoints]
  return topology === 'in-database' ? points : [...points, ...relayPoints]
}

const passOf = ({ random }: FaultContext): number => 1 + Math.floor(random() ** 2 * 6)

export function oneOf<T>(all: readonly T[], random: () => number): T {
  return all[Math.floor(random() * all.length)] as T
}
