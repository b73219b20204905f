/** A worker of recovery.ts. The one that is to be killed stays in a transaction, once it has committed some. */
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import type { Runtime } from '../../src/runtime.ts'
import { inChild } from './child.ts'
import type { Subject, SubjectOptions } from './job.ts'
import type { BossSettings } from './with-pg-boss.ts'

export interface RecoveryProcessOptions {
  readonly subject: 'onefold' | 'pg-boss' | 'graphile-worker'
  readonly url: string
  readonly onefold?: { readonly leaseMs?: number; readonly partitions: number }
  readonly boss?: BossSettings
  readonly graphile?: { readonly pollInterval: number }
  /** As if on a machine of its own: nobody there can see which processes of this one have ended. */
  readonly elsewhere?: boolean
  /** Says so in this transaction, before its commit; and stays in it, and in those that follow, where it is to be killed. */
  readonly marks?: { readonly transaction: number; readonly stays: boolean }
}

const { options, say, told } = inChild<RecoveryProcessOptions>()
const names: string[] = []
let transactions = 0

async function beforeCommit(): Promise<void> {
  const { marks } = options
  transactions++
  if (marks === undefined || transactions < marks.transaction) return
  say('holding', names)
  if (marks.stays) await new Promise(() => undefined)
}

/** Peers are packages of the bench alone: only the one that is asked for is loaded. */
async function made(): Promise<Subject> {
  const common: SubjectOptions = { url: options.url, style: 'set-based', beforeCommit }
  if (options.subject === 'pg-boss') return (await import('./with-pg-boss.ts')).subject(common, options.boss)
  if (options.subject === 'graphile-worker')
    return (await import('./with-graphile-worker.ts')).subject(common, {
      ...options.graphile,
      onWorker: (name) => void names.push(name),
    })
  const runtime = nodeRuntime()
  const elsewhere: Runtime = {
    ...runtime,
    process: { ...runtime.process, host: 'elsewhere' },
    isAlive: ({ pid, host }) => (host === 'elsewhere' && pid === process.pid ? 'alive' : 'unknown'),
  }
  return (await import('./with-onefold.ts')).withOnefold(common, {
    ...options.onefold,
    ...(options.elsewhere === true ? { runtime: elsewhere } : {}),
  })
}

const subject = await made()
await subject.prepare()
say('ready')
await told('go')
await subject.consume()
await told('stop')
await subject.stop()
process.disconnect()
