/**
 * How long a message takes from `publish` to applied, one at a time on an idle server: Onefold against graphile-worker, and Onefold beside
 * transactions that stay open for a minute, in another database and with a message to the same topic in it. Ratios of one run.
 *
 *   (cd bench && npm install) && node bench/ledger/latency.ts [--seconds 60] [--json]
 */
import { parseArgs } from 'node:util'
import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { Pool } from 'pg'
import { startPostgres } from '../../scripts/engines/postgres.ts'
import { postgres } from '../../src/database/postgres/index.ts'
import { onefold, topic } from '../../src/index.ts'

const { values } = parseArgs({ options: { seconds: { type: 'string' }, json: { type: 'boolean' } } })
const seconds = Number(values.seconds ?? 60)
const gapMs = 20

interface Latency {
  readonly p50: number
  readonly p99: number
  readonly messages: number
}

await using stack = new AsyncDisposableStack()
const server = await startPostgres()
stack.defer(() => server.stop())
const pool = new Pool({ connectionString: server.url, max: 10, pipeline: true })
pool.on('error', () => undefined)
stack.defer(() => pool.end())
await pool.query('create table effect (id text)')

/** Sends one after the other, each once the one before has been applied and a little has passed. */
async function measure(send: (id: string) => Promise<unknown>, applied: Map<string, () => void>): Promise<Latency> {
  const took: number[] = []
  const until = performance.now() + seconds * 1_000
  for (let n = 0; performance.now() < until; n++) {
    const id = `${performance.now()}-${n}`
    const done = new Promise<void>((resolve) => applied.set(id, resolve))
    const from = performance.now()
    await send(id)
    await done
    took.push(performance.now() - from)
    applied.delete(id)
    await new Promise((resolve) => setTimeout(resolve, gapMs))
  }
  const sorted = took.slice(20).sort((a, b) => a - b)
  const at = (part: number): number => sorted[Math.floor((sorted.length - 1) * part)] ?? 0
  return { p50: at(0.5), p99: at(0.99), messages: sorted.length }
}

const notes = topic<{ id: string }>('notes', { id: (note) => note.id, partitions: 4 })
const applied = new Map<string, () => void>()
const app = onefold({ source: 'bench', database: postgres(pool, { migrations: 'apply' }) })
app.consume(notes, 'g', async ({ id }, { tx }) => {
  await tx.query('insert into effect values ($1)', [id])
  // Its transaction commits a moment later; the checkpoint tells when.
})
await app.start()
stack.defer(() => app.stop())
const watch = new Pool({ connectionString: server.url, max: 1 })
watch.on('error', () => undefined)
stack.defer(() => watch.end())

/** Applied means visible to somebody else. */
async function visible(id: string): Promise<void> {
  while ((await watch.query('select 1 from effect where id = $1', [id])).rows.length === 0);
  applied.get(id)?.()
}

await pool.query('create index on effect (id)')
const send = async (id: string): Promise<void> => {
  await app.publish(notes, { id })
  await visible(id)
}

const idle = await measure(send, applied)

await pool.query('create database elsewhere')
const url = new URL(server.url)
url.pathname = '/elsewhere'
const elsewhere = new Pool({ connectionString: url.href, max: 1 })
elsewhere.on('error', () => undefined)
stack.defer(() => elsewhere.end())
const [other, publishing] = [await elsewhere.connect(), await pool.connect()]
const open = [other, publishing]
for (const client of open) await client.query('begin')
await other.query('select pg_current_xact_id()')
await app.publish(notes, { id: 'late' }, { tx: publishing })
const beside = await measure(send, applied)
for (const client of open) {
  await client.query('commit')
  client.release()
}
await visible('late')

const utils = await makeWorkerUtils({ pgPool: pool, logger: new Logger(() => () => undefined) })
await utils.migrate()
const runner = await run({
  pgPool: pool,
  logger: new Logger(() => () => undefined),
  noHandleSignals: true,
  taskList: {
    note: async (payload, { withPgClient }) => {
      await withPgClient(
        async (client) => void (await client.query('insert into effect values ($1)', [(payload as { id: string }).id])),
      )
    },
  },
})
const worker = await measure(async (id) => {
  await utils.addJob('note', { id })
  await visible(id)
}, applied)
await runner.stop()
await utils.release()

const results = {
  'idle p50, onefold / graphile-worker (target: not above 1)': idle.p50 / worker.p50,
  'idle p99 / p50 (target: at most 3)': idle.p99 / idle.p50,
  'p99 beside open transactions / idle (target: below 2)': beside.p99 / idle.p99,
  'p50 beside open transactions / idle': beside.p50 / idle.p50,
}
if (values.json === true) console.log(JSON.stringify({ seconds, results, idle, beside, worker }, null, 2))
else
  for (const [what, ratio] of Object.entries(results))
    console.log(`${what}: ${ratio.toFixed(2)}   [${idle.messages} messages, ${seconds} s each]`)
