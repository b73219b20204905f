import type { MoveResult } from '../move/move.ts'
import { defineCommand } from './command.ts'
import { databaseTarget, requireDatabase } from './database-target.ts'
import { withPool } from './postgres-pool.ts'
import { count, table } from './readable.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

export const move = defineCommand({
  name: 'move',
  summary: 'move a SQLite file to PostgreSQL, without losing or repeating anything',
  usage: [
    'move --from FILE --to postgres://… [--schema NAME]',
    'move --from FILE --to postgres://… --activate --tables-copied',
    'move --from FILE --to postgres://… --unseal',
  ],
  description: [
    'First it seals FILE: from that commit on whatever writes there is refused with MOVED_TO, in every process, also in one that was ' +
      'frozen meanwhile; nothing need be stopped. Reading still works. Then it copies all that Onefold keeps: messages with their ' +
      'offsets, how far each group is, which identities are known, what is parked or waits for a person, the journal of calls, what ' +
      'is to be sent or delivered later. Killed on the way, the same command goes on. At last it compares both.',
    'Now copy your own tables, with whatever you like. Then --activate --tables-copied compares once more and lets programs start on ' +
      'the new database; before that it refuses to open. From then on FILE is only to be read, for ever.',
    '--unseal gives up a move that was not activated: what was copied is thrown away, and FILE works again.',
    'With --json: {state, from, to, tables: [{table, source: {rows, checksum}, target: {rows, checksum}, same}]}. The client library ' +
      'is the one of the project in this folder: pg, or postgres.',
  ],
  promise:
    'At no time do both databases work. What was applied is not applied again, and what was not is applied by the groups of the new ' +
    'database, from where they were, in the same order, with the same tokens for calls. Effects of your handlers are in your tables: ' +
    'they are there if you copied them after the seal.',
  options: {
    from: { kind: 'text', value: 'FILE', help: 'the database that is moved', otherwise: 'what --db says' },
    to: { kind: 'text', value: 'URL', help: 'where to: postgres://user:password@host:port/database' },
    activate: { kind: 'flag', help: 'end the move: the new database works from now on' },
    'tables-copied': { kind: 'flag', help: 'with --activate: your own tables are there, as they were after the seal' },
    unseal: { kind: 'flag', help: 'give the move up' },
  },
  examples: [
    'onefold move --from shop.db --to postgres://localhost/shop',
    'onefold move --from shop.db --to postgres://localhost/shop --activate --tables-copied',
  ],

  async run({ values, positionals, terminal, runtime, stop, environment }) {
    if (positionals.length > 0) throw new UsageError(`move takes no argument, but got ${JSON.stringify(positionals[0])}`)
    const { to, activate: activates, unseal } = values
    if (to === undefined) throw new UsageError('move needs --to postgres://…')
    if (values.from !== undefined && values.db !== undefined) throw new UsageError('--from and --db both name the source: choose')
    if (activates && unseal) throw new UsageError('--activate ends the move and --unseal gives it up: choose')
    if (activates && !values['tables-copied'])
      throw new UsageError(
        '--activate needs --tables-copied: copy your own tables first, as they are after the seal, then say so',
      )
    if (!activates && values['tables-copied']) throw new UsageError('--tables-copied is for --activate')
    const from = databaseTarget({ db: values.from ?? values.db, schema: undefined }, environment)
    if (from.kind !== 'file') throw new UsageError('--from takes a database file')
    const server = databaseTarget({ db: to, schema: values.schema }, environment)
    if (server.kind !== 'server')
      throw new UsageError('--to takes the URL of a PostgreSQL database: postgres://user@host/database')
    requireDatabase(from)
    const [{ activate, giveUp, move: moveAll }, { SqliteMoveSource }, { moveTargetOn }] = await Promise.all([
      import('../move/move.ts'),
      import('../database/sqlite/move-source.ts'),
      import('../database/postgres/move-target.ts'),
    ])
    return await withPool(server, async (pool) => {
      const target = moveTargetOn(pool, { schema: server.schema, runtime })
      const source = await SqliteMoveSource.open(from.file, runtime)
      try {
        const ends = { source, target, runtime }
        const onStep = (step: string): void => terminal.note(step)
        if (unseal) {
          const done = await giveUp(ends)
          const state = done ? 'given-up' : 'nothing-to-give-up'
          if (values.json) await terminal.json({ state, from: source.where, to: target.where })
          else await terminal.write(done ? `${source.where} works again\n` : 'there was nothing to give up\n')
          return 0
        }
        const onProgress = (name: string, { rows }: { rows: number }): void =>
          terminal.progress(`${name}: ${count(rows)} rows copied`)
        const result = activates
          ? await activate(ends, { onStep })
          : await moveAll(ends, { onStep, onProgress, signal: stop.signal })
        if (values.json) await terminal.json(result)
        else await show(terminal, result)
        return 0
      } finally {
        source.close()
      }
    })
  },
})

async function show(terminal: Terminal, { state, from, to, tables }: MoveResult): Promise<void> {
  if (tables.length > 0) {
    const rows = tables.map(({ table: name, source, same }) => [
      name,
      count(source.rows),
      source.checksum,
      same ? 'same' : 'different',
    ])
    await terminal.write(table(['TABLE', '>ROWS', 'CHECKSUM', 'THERE'], rows, '  '))
  }
  await terminal.write(
    state === 'activated'
      ? `${to} works from now on; ${from} is only to be read\n`
      : `copied. Now copy your own tables; then repeat the command with --activate --tables-copied\n`,
  )
}
