/**
 * A backlog of the ledger job, consumed by eight processes on one server: throughput tenth by tenth while the tables only grow, then
 * what retention leaves of them, and whether their space is used again. Every balance is checked.
 *
 *   node bench/ledger/backlog.ts [--messages 1000000] [--rounds 2] [--round 100000] [--json]
 *
 * The server's settings are PostgreSQL's own defaults, fsync on. CPU time is that of the server's processes and the workers, so
 * that a busy neighbour changes it little. `--rounds 0` leaves retention out. Retention takes minutes: it keeps messages for one.
 */
import { parseArgs } from 'node:util'
import { Pool } from 'pg'
import { startPostgres } from '../../scripts/engines/postgres.ts'
import { stopAfterwards } from '../../scripts/engines/stop-afterwards.ts'
import { Fleet } from './backlog-fleet.ts'
import { measureRetention } from './backlog-retention.ts'
import { measureBacklog } from './backlog-tenths.ts'
import { whole } from './bounded.ts'
import { tables } from './job.ts'

const { values } = parseArgs({
  options: { messages: { type: 'string' }, rounds: { type: 'string' }, round: { type: 'string' }, json: { type: 'boolean' } },
})
const messages = whole('messages', values.messages, 1_000_000, 10_000, 20_000_000)
const rounds = whole('rounds', values.rounds, 2, 0, 100)
const round = whole('round', values.round, 100_000, 1_000, 10_000_000)
const say = (line: string): void => void (values.json === true ? process.stderr : process.stdout).write(`${line}\n`)

await using stack = new AsyncDisposableStack()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void stack.disposeAsync().finally(() => process.exit(1)))
const server = await startPostgres()
const callOff = stopAfterwards(server.folder)
stack.defer(async () => {
  await server.stop()
  callOff()
})
const pool = new Pool({ connectionString: server.url, max: 3 })
pool.on('error', () => undefined)
stack.defer(() => pool.end())
const fleet = new Fleet(server)
stack.defer(() => fleet.end())

await pool.query(tables)
const backlog = await measureBacklog({ fleet, pool, messages, say })
const retention = rounds === 0 ? undefined : await measureRetention({ fleet, pool, messages, rounds, round, say })
if (values.json === true) console.log(JSON.stringify({ messages, backlog, retention }, null, 2))
