import type { Erased } from '../erase/erase-store.ts'
import { checkName } from '../topic.ts'
import { defineCommand } from './command.ts'
import { databaseTarget, requireDatabase } from './database-target.ts'
import { withApp } from './open-app.ts'
import { count, plural } from './readable.ts'
import { UsageError } from './usage-error.ts'

/** What each count is of, in the order in which people want to know it. */
const words: Readonly<Record<keyof Erased, string>> = {
  messages: 'in the log',
  parked: 'parked, waiting for a person or behind another',
  attention: 'attention items',
  revisions: 'edits of a body',
  scheduled: 'published for later',
  outbox: 'in the outbox',
  calls: 'answers of external calls',
}

export const erase = defineCommand({
  name: 'erase',
  summary: "erase the data of a key's messages, for good",
  usage: ['erase TOPIC --key KEY [--rewrite]', 'erase TOPIC --key KEY --by NAME [--reason TEXT] [--rewrite] --yes'],
  description: [
    'Erases the data of all messages of TOPIC that have this key, wherever this database has it: the log, parked messages, the ' +
      'attention list with its error texts and edits, the outbox, what is published for later, and what external calls have ' +
      'answered. What was not applied yet never will be. Ids and places stay, so that a late repeat is still recognised.',
    'Without --yes it only counts what would go, changes nothing, and exits with 1.',
    'Effects that were applied, messages that handlers published to other topics, backups and copies made elsewhere are not ' +
      'touched; erase there too. A consumer that has a message in its hands at this moment may still apply or park it: erase ' +
      'again a minute later; that is harmless.',
  ],
  promise:
    'Killed on the way, the same command finishes it. With --rewrite the whole file is written anew, and then holds no trace of ' +
    'the data ("traces": "none"); all writers wait meanwhile. Without it old bytes may lie in unused corners of the file.',
  options: {
    key: { kind: 'text', value: 'KEY', help: "the messages' key" },
    by: { kind: 'text', value: 'NAME', help: 'who erases: it is kept, the key is not' },
    reason: { kind: 'text', value: 'TEXT', help: 'why: it is kept, so no personal data here' },
    rewrite: { kind: 'flag', help: 'write the whole file anew afterwards; for many keys, with the last one' },
    yes: { kind: 'flag', help: 'do it' },
  },
  examples: [
    'onefold erase orders --key customer-1042',
    'onefold erase orders --key customer-1042 --by dana --reason "ticket 77" --rewrite --yes',
  ],

  async run({ values, positionals, terminal, runtime, environment }) {
    const [topic, extra] = positionals
    const { key, by, reason, rewrite, yes } = values
    if (topic === undefined) throw new UsageError('erase needs a TOPIC')
    if (extra !== undefined) throw new UsageError(`erase got an argument too many: ${JSON.stringify(extra)}`)
    if (key === undefined) throw new UsageError('erase needs --key KEY')
    if (yes && by === undefined) throw new UsageError('erase --yes needs --by NAME: it is kept')
    checkName('TOPIC', topic)
    const target = databaseTarget(values, environment)
    requireDatabase(target)
    if (rewrite && target.kind === 'server')
      throw new UsageError('--rewrite is for a database file; on a server that is VACUUM FULL, which locks what it writes anew')
    const { traces, ...erased } = await withApp(target, { runtime }, { create: false }, (app) =>
      app.erase(topic, { key, by: by ?? 'nobody yet', ...(reason === undefined ? {} : { reason }), rewrite, preview: !yes }),
    )
    if (values.json) {
      await terminal.json(yes ? { topic, erased, traces } : { topic, wouldErase: erased })
      return yes ? 0 : 1
    }
    const rows = Object.entries(words).filter(([name]) => erased[name as keyof Erased] > 0)
    const total = rows.reduce((sum, [name]) => sum + erased[name as keyof Erased], 0)
    await terminal.write(`${yes ? 'erased' : 'would erase'} ${plural(total, 'row')} of topic ${topic}\n`)
    for (const [name, word] of rows) await terminal.write(`  ${count(erased[name as keyof Erased])} ${word}\n`)
    if (!yes) await terminal.write('nothing was changed; repeat with --by NAME --yes to erase\n')
    else if (target.kind === 'server')
      await terminal.write(
        'old versions lie in the files of the server until it uses their place again, and in its log and backups\n',
      )
    else if (traces === 'none') await terminal.write('the file holds no trace of it\n')
    else if (!rewrite) await terminal.write('old bytes may lie in unused corners of the file; --rewrite removes them\n')
    else await terminal.write('somebody was reading an older state: old bytes may lie in the write-ahead log; repeat it\n')
    return yes ? 0 : 1
  },
})
