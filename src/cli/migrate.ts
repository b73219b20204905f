import { OnefoldError } from '../errors.ts'
import { defineCommand } from './command.ts'
import { databaseTarget } from './database-target.ts'
import { withPool } from './postgres-pool.ts'
import { printableLines } from './readable.ts'
import { UsageError } from './usage-error.ts'

const actions = ['status', 'up', 'print'] as const

export const migrate = defineCommand({
  name: 'migrate',
  summary: 'look at the tables in PostgreSQL, make them, or bring them up to date',
  usage: ['migrate [status]', 'migrate up', 'migrate print'],
  description: [
    'Onefold makes no tables in your PostgreSQL database by itself: an app that finds none, or older ones, does not start. ' +
      '"status" tells which version they have and exits with 1 when that is not the one this Onefold needs. "up" makes them, or ' +
      'brings them up to date. "print" writes the SQL of that to stdout, for whoever runs it by hand or keeps it with other migrations.',
    'A database file needs none of this: it is brought up to date when it is opened.',
  ],
  promise:
    'All of it in one transaction, or nothing. Of several at once one does it, and the others find it done. Versions only go up, ' +
    'and tables of a newer Onefold are left alone. status and print change nothing.',
  options: {},
  examples: [
    'onefold migrate up --db postgres://shop@localhost/shop',
    'onefold migrate print --db "$DATABASE_URL" | psql "$DATABASE_URL"',
  ],

  async run({ values, positionals, terminal, runtime, environment }) {
    const [word = 'status', ...rest] = positionals
    const action = actions.find((each) => each === word)
    if (action === undefined) throw new UsageError(`unknown action ${JSON.stringify(word)}; migrate knows ${actions.join(', ')}`)
    if (rest.length > 0) throw new UsageError(`migrate ${action} got an argument too many: ${JSON.stringify(rest[0])}`)
    const target = databaseTarget(values, environment)
    if (target.kind === 'file') {
      throw new OnefoldError(
        'NOT_POSSIBLE',
        `${target.name} is a file, which is brought up to date when it is opened; migrate is for --db postgres://….`,
        { details: { file: target.file } },
      )
    }
    const { name: database, schema } = target
    return await withPool(target, async (pool) => {
      const engine = await import('../database/postgres/tables.ts')
      const tables = engine.tablesOf(pool, { schema, runtime })
      const from = await tables.version()
      const { latest } = tables
      const where = `${database}, schema ${schema}`
      if (action === 'status') {
        if (values.json) await terminal.json({ database, schema, version: from, latest, upToDate: from === latest })
        else await terminal.write(`${printableLines(where)}: ${inWords(from, latest)}\n`)
        return from === latest ? 0 : 1
      }
      if (action === 'print') {
        const sql = tables.script(from)
        if (values.json) await terminal.json({ database, schema, version: from, latest, sql })
        else await terminal.write(sql)
        return 0
      }
      const before = await tables.up()
      if (values.json) await terminal.json({ database, schema, from: before, version: latest })
      else await terminal.write(`${printableLines(where)}: ${before === latest ? 'nothing to do, ' : ''}version ${latest}\n`)
      return 0
    })
  },
})

function inWords(version: number, latest: number): string {
  if (version === latest) return `version ${version}, as this Onefold needs it`
  if (version > latest) return `version ${version}, of a newer Onefold: this one knows ${latest}`
  return `${version === 0 ? 'no tables yet' : `version ${version}`}; this Onefold needs version ${latest}: onefold migrate up`
}
