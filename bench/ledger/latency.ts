/**
 * How long a message takes from `publish` to applied, one at a time on an idle server: Onefold against graphile-worker, in turns, and
 * Onefold beside transactions that stay open, in another database and with a message to the same topic in it. Ratios of one run: of each
 * round, and of those the median.
 *
 *   (cd bench && npm install) && node bench/ledger/latency.ts [--seconds 60] [--rounds 3] [--json]
 *
 * `--seconds`: how long each is measured, and transactions stay open, in each round.
 */
import { parseArgs } from 'node:util'
import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { Pool } from 'pg'
import { startPostgres } from '../../scripts/engines/postgres.ts'
import { postgres } from '../../src/database/postgres/index.ts'
import { onefold, topic } from '../../src/index.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string' }, rounds: { type: 'string' }, json: { type: 'boolean' } },
})
const seconds = Number(values.seconds ?? 60)
const rounds = Number(values.rounds ?? 3)
const gapMs = 20
/** Of each measurement, while plans are made and code is compiled. */
const notCounted = 30

interface Latency {
  readonly p50: number
  readonly p99: number
  readonly messages: number
}

await using stack = new AsyncDisposableStack()
const server = await startPostgres()
stack.defer(() => server.stop())

function poolOf(database: string, options: { readonly max: number; readonly pipeline?: boolean }): Pool {
  const url = new URL(server.url)
  url.pathname = `/${database}`
  const pool = new Pool({ connectionString: url.href, ...options })
  // graphile-worker warns about a pool without these.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => void client.on('error', () => undefined))
  return pool
}

const at = new URL(server.url).pathname.slice(1)
const pool = poolOf(at, { max: 10, pipeline: true })
stack.defer(() => pool.end())
const watch = poolOf(at, { max: 1 })
stack.defer(() => watch.end())
await pool.query('create table effect (id text); create index on effect (id)')
await pool.query('create database elsewhere')
const elsewhere = poolOf('elsewhere', { max: 1 })
stack.defer(() => elsewhere.end())

/** Applied means visible to somebody else. */
async function visible(id: string): Promise<void> {
  while ((await watch.query('select 1 from effect where id = $1', [id])).rows.length === 0);
}

/** Sends one after the other, each once the one before has been applied and a little has passed. */
async function measure(send: (id: string) => Promise<unknown>): Promise<Latency> {
  const took: number[] = []
  const until = performance.now() + seconds * 1_000
  for (let n = 0; performance.now() < until; n++) {
    const id = `${performance.now()}-${n}`
    const from = performance.now()
    await send(id)
    await visible(id)
    took.push(performance.now() - from)
    await new Promise((resolve) => setTimeout(resolve, gapMs))
  }
  const sorted = took.slice(notCounted).sort((a, b) => a - b)
  const percentile = (part: number): number => sorted[Math.floor((sorted.length - 1) * part)] ?? 0
  return { p50: percentile(0.5), p99: percentile(0.99), messages: sorted.length }
}

const notes = topic<{ id: string }>('notes', { id: (note) => note.id, partitions: 4 })

async function ofOnefold(): Promise<{ idle: Latency; beside: Latency }> {
  const app = onefold({ source: 'bench', database: postgres(pool, { migrations: 'apply' }) })
  app.consume(notes, 'g', async ({ id }, { tx }) => void (await tx.query('insert into effect values ($1)', [id])))
  await app.start()
  const send = (id: string): Promise<unknown> => app.publish(notes, { id })
  const idle = await measure(send)
  const [other, publishing] = [await elsewhere.connect(), await pool.connect()]
  for (const client of [other, publishing]) await client.query('begin')
  await other.query('select pg_current_xact_id()')
  const late = `late-${performance.now()}`
  await app.publish(notes, { id: late }, { tx: publishing })
  const beside = await measure(send)
  for (const client of [other, publishing]) {
    await client.query('commit')
    client.release()
  }
  await visible(late)
  await app.stop()
  return { idle, beside }
}

async function ofGraphileWorker(): Promise<Latency> {
  const logger = new Logger(() => () => undefined)
  const utils = await makeWorkerUtils({ pgPool: pool, logger })
  await utils.migrate()
  const runner = await run({
    pgPool: pool,
    logger,
    noHandleSignals: true,
    taskList: {
      note: async (payload, { withPgClient }) =>
        void (await withPgClient((client) => client.query('insert into effect values ($1)', [(payload as { id: string }).id]))),
    },
  })
  const latency = await measure((id) => utils.addJob('note', { id }))
  await runner.stop()
  await utils.release()
  return latency
}

const measured: { idle: Latency; beside: Latency; worker: Latency }[] = []
for (let round = 0; round < rounds; round++) {
  // Whoever comes first meets a colder machine.
  const first = round % 2 === 0
  const before = first ? await ofOnefold() : undefined
  const worker = await ofGraphileWorker()
  measured.push({ ...(before ?? (await ofOnefold())), worker })
}

const median = (of: (round: (typeof measured)[number]) => number): number =>
  measured.map(of).toSorted((a, b) => a - b)[Math.floor(measured.length / 2)] ?? 0
const results = {
  'idle p50, onefold / graphile-worker (target: not above 1)': median(({ idle, worker }) => idle.p50 / worker.p50),
  'idle p99 / p50 (target: at most 3)': median(({ idle }) => idle.p99 / idle.p50),
  'p99 beside open transactions / idle (target: below 2)': median(({ idle, beside }) => beside.p99 / idle.p99),
  'p50 beside open transactions / idle': median(({ idle, beside }) => beside.p50 / idle.p50),
}
if (values.json === true) console.log(JSON.stringify({ seconds, rounds, results, measured }, null, 2))
else {
  const messages = measured.reduce((sum, { idle }) => sum + idle.messages, 0)
  for (const [what, ratio] of Object.entries(results))
    console.log(`${what}: ${ratio.toFixed(2)}   [${rounds} rounds, ${seconds} s each, ${messages} messages idle]`)
}
