import { defineCommand } from './command.ts'
import { databaseTarget, requireDatabase } from './database-target.ts'
import { withApp } from './open-app.ts'
import { renderStatus } from './render-status.ts'
import { UsageError } from './usage-error.ts'

const watchMs = 1000

export const status = defineCommand({
  name: 'status',
  summary: 'what is in the database, who consumes it, and how far they are',
  usage: ['status [--watch]'],
  description: [
    'Shows topics (messages, offsets), consumer groups (applied, duplicates suppressed, lag, parked, waiting for a person, age of ' +
      'the oldest message not applied, and what each group promises), the processes that own partitions and whether they live, ' +
      'the process holding the write lock at this moment, schedules (their pattern, and the instant they fire next), the size of the file and of its write-ahead log, and how far back ' +
      'duplicates are recognised.',
  ],
  promise: 'Reads what is committed and never waits for writers. It does not create a file that is not there.',
  options: { watch: { kind: 'flag', help: 'show it again every second until interrupted' } },
  examples: ['onefold status --db shop.db', "onefold status --json | jq '.groups[] | {topic, group, lag, attention}'"],

  async run({ values, positionals, terminal, runtime, stop, environment }) {
    if (positionals.length > 0) throw new UsageError(`status takes no argument, but got ${JSON.stringify(positionals[0])}`)
    if (values.watch && values.json) throw new UsageError('--watch shows many documents, --json promises one: choose')
    const target = databaseTarget(values, environment)
    requireDatabase(target)
    return await withApp(target, { runtime }, { create: false }, async (app) => {
      if (values.json) {
        await terminal.json(await app.status())
        return 0
      }
      while (true) {
        const text = renderStatus(await app.status(), runtime.wallMs(), target.kind)
        const clear = values.watch && terminal.isTerminal ? '\u001b[H\u001b[2J' : ''
        await terminal.handOver(clear + text)
        if (!values.watch) return 0
        await runtime.sleep(watchMs, stop.signal)
        if (stop.signal.aborted) return 0
        if (clear === '') await terminal.handOver('\n')
      }
    })
  },
})
