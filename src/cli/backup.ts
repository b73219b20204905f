import { statSync } from 'node:fs'
import { OnefoldError } from '../errors.ts'
import { defineCommand } from './command.ts'
import { databaseTarget, requireDatabase } from './database-target.ts'
import { withApp } from './open-app.ts'
import { bytes, duration } from './readable.ts'
import { UsageError } from './usage-error.ts'

export const backup = defineCommand({
  name: 'backup',
  summary: 'copy the database file while it is in use',
  usage: ['backup FILE'],
  description: [
    'Writes a consistent copy of the database to FILE, which must not exist yet, while others go on publishing and consuming. ' +
      'With --json: {database, file, bytes, seconds}.',
  ],
  promise:
    'The copy holds one moment of the database, effects and the record of them together. It is a new incarnation: what it numbers ' +
    'cannot be mistaken for what the original numbers. Going back to it repeats what happened outside the database since then.',
  options: {},
  examples: ['onefold backup shop-2026-11-21.db --db shop.db'],

  async run({ values, positionals, terminal, runtime, stop, environment }) {
    const [copy, ...rest] = positionals
    if (copy === undefined) throw new UsageError('backup needs a FILE to write')
    if (rest.length > 0) throw new UsageError(`backup takes one FILE, but got also ${JSON.stringify(rest[0])}`)
    const target = databaseTarget(values, environment)
    requireDatabase(target)
    if (target.kind === 'server') {
      throw new OnefoldError(
        'NOT_POSSIBLE',
        `${target.name} is backed up with PostgreSQL's own tools: pg_dump or pg_basebackup.`,
        { details: { database: target.name } },
      )
    }
    const begunMs = runtime.monotonicMs()
    const onProgress = (done: number, total: number) =>
      terminal.progress(`${Math.floor((100 * done) / Math.max(1, total))} % copied`)
    await withApp(target, { runtime }, { create: false }, (app) => app.backup(copy, { onProgress, signal: stop.signal }))
    const tookMs = runtime.monotonicMs() - begunMs
    const size = statSync(copy).size
    if (values.json) await terminal.json({ database: target.file, file: copy, bytes: size, seconds: tookMs / 1000 })
    else await terminal.write(`${copy}: ${bytes(size)} in ${duration(tookMs)}\n`)
    return 0
  },
})
