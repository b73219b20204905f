/** strace, attached to a running worker, makes one of its next system calls the last one, or a failure. */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Injection } from '../test/support/torture-system-calls.ts'
import { attaching } from '../test/support/torture-system-calls.ts'
import type { Fault } from './fault-kinds.ts'
import type { FaultContext } from './faults.ts'
import type { Slot } from './slot.ts'
import { pause, within } from './slot.ts'

/** How many calls of one kind a busy worker makes within the patience below. */
const upTo: Readonly<Record<Injection['call'], number>> = { sync: 8, pwrite64: 40, write: 20 }
const patienceMs = 3_000

export async function killAtSystemCall(slot: Slot, context: FaultContext): Promise<Fault | undefined> {
  const { random, scratch } = context
  const { worker } = slot
  if (worker === undefined || !slot.doom('kill-at-system-call')) return undefined
  const call = (['sync', 'pwrite64', 'write'] as const)[Math.floor(random() * 3)] ?? 'sync'
  const first = 1 + Math.floor(random() * upTo[call])
  await using tracer = await Tracer.attach(worker.pid, scratch, { call, first, effect: 'signal=SIGKILL' })
  if (tracer !== undefined) await within(patienceMs, worker.ended)
  const ours = slot.doomedBy === 'kill-at-system-call'
  await tracer?.detach()
  // Both ended by the same signal: only the tracer knows whose it was.
  const hit = tracer?.injected() ?? 0
  if (hit === 0) slot.spare('kill-at-system-call')
  else await worker.ended
  return hit > 0 && ours ? { kind: 'kill-at-system-call', where: name(call) } : undefined
}

export async function failSystemCall(slot: Slot, context: FaultContext): Promise<Fault | undefined> {
  const { random, scratch } = context
  const { worker } = slot
  if (worker === undefined) return undefined
  const call = random() < 0.5 ? 'sync' : 'pwrite64'
  const error = call === 'sync' || random() < 0.5 ? 'EIO' : 'ENOSPC'
  const first = 1 + Math.floor(random() * upTo[call])
  const times = 1 + Math.floor(random() * 3)
  await using tracer = await Tracer.attach(worker.pid, scratch, {
    call,
    first,
    last: first + times - 1,
    effect: `error=${error}`,
  })
  if (tracer === undefined) return undefined
  const end = performance.now() + patienceMs
  while (slot.worker === worker && performance.now() < end && tracer.injected() < times) await pause(20)
  await tracer.detach()
  return tracer.injected() > 0 ? { kind: 'system-call-error', where: `${name(call)} ${error}` } : undefined
}

const name = (call: Injection['call']): string => (call === 'sync' ? 'fsync' : call)

let logs = 0

class Tracer implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #log: string
  readonly #effect: Injection['effect']

  /** Undefined when the process has ended meanwhile. */
  static async attach(pid: number, scratch: string, injection: Injection): Promise<Tracer | undefined> {
    const log = join(scratch, `${++logs}.strace`)
    const process = spawn('strace', attaching(pid, log, injection), { stdio: ['ignore', 'ignore', 'pipe'] })
    const tracer = new Tracer(process, log, injection.effect)
    const attached = new Promise<boolean>((resolve) => {
      let said = ''
      process.stderr.on('data', (chunk) => {
        said += chunk
        if (said.includes('attached')) resolve(true)
      })
      process.once('close', () => resolve(false))
    })
    if ((await within(10_000, attached)) === true) return tracer
    await tracer.detach()
    return undefined
  }

  private constructor(process: ChildProcess, log: string, effect: Injection['effect']) {
    this.#process = process
    this.#log = log
    this.#effect = effect
  }

  /** How often it has struck. */
  injected(): number {
    const text = readLog(this.#log)
    if (this.#effect !== 'signal=SIGKILL') return text.split('(INJECTED)').length - 1
    // A call that the signal cut short has no result.
    return /^\d+ +\w+\(.*(= \?|<unfinished)/m.test(text) && text.includes('+++ killed by SIGKILL') ? 1 : 0
  }

  async detach(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const closed = once(this.#process, 'close')
    this.#process.kill('SIGTERM')
    if ((await within(10_000, closed)) === undefined) {
      this.#process.kill('SIGKILL')
      await closed
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.detach()
    rmSync(this.#log, { force: true })
  }
}

function readLog(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
