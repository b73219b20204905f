import { topicLimits } from '../topic.ts'
import { defineCommand } from './command.ts'
import { databaseTarget, requireDatabase } from './database-target.ts'
import { withApp } from './open-app.ts'
import { count, table } from './readable.ts'
import { keyedWord } from './render-status.ts'
import { UsageError } from './usage-error.ts'

export const topic = defineCommand({
  name: 'topic',
  summary: 'list topics, or change what is fixed about one',
  usage: ['topic [list]', 'topic change NAME [--partitions N] [--keyed yes|no] [--id-reuse error|ignore]'],
  description: [
    'The number of partitions, whether messages have keys, and what a reused id means are fixed in the database once a topic ' +
      'exists. "change" changes them. Where a message lies depends on the partitions, so every group must have applied all ' +
      'messages of the topic first; otherwise the change is refused and says who is behind.',
  ],
  promise: 'All of the change or nothing of it; the order of messages with the same key is kept.',
  options: {
    partitions: { kind: 'integer', min: 1, max: topicLimits.maxPartitions, help: 'how many partitions; it can only rise' },
    keyed: { kind: 'choice', choices: ['yes', 'no'], help: 'whether messages have keys; "open" until a program says so' },
    'id-reuse': { kind: 'choice', choices: ['error', 'ignore'], help: 'the same id with another body: refused, or a duplicate' },
  },
  examples: ['onefold topic list', 'onefold topic change deliveries --partitions 32'],

  async run({ values, positionals, terminal, runtime, environment }) {
    const [action = 'list', name, ...rest] = positionals
    if (action !== 'list' && action !== 'change')
      throw new UsageError(`unknown action ${JSON.stringify(action)}; topic knows list and change`)
    const extra = action === 'list' ? name : rest[0]
    if (extra !== undefined) throw new UsageError(`topic ${action} got an argument too many: ${JSON.stringify(extra)}`)
    const change = {
      ...(values.partitions === undefined ? {} : { partitions: values.partitions }),
      ...(values.keyed === undefined ? {} : { keyed: values.keyed === 'yes' }),
      ...(values['id-reuse'] === undefined ? {} : { idReuse: values['id-reuse'] }),
    }
    if (action === 'list' && Object.keys(change).length > 0)
      throw new UsageError('topic list takes no change; did you mean topic change NAME?')
    if (action === 'change' && name === undefined) throw new UsageError('topic change needs a NAME')
    if (action === 'change' && Object.keys(change).length === 0) {
      throw new UsageError('topic change needs what to change: --partitions, --keyed or --id-reuse')
    }
    const target = databaseTarget(values, environment)
    requireDatabase(target)
    const topics = await withApp(target, { runtime }, { create: false }, async (app) => {
      if (action === 'change' && name !== undefined) await app.topics.change(name, change)
      const all = (await app.status()).topics
      return action === 'list' ? all : all.filter((each) => each.name === name)
    })
    if (values.json) await terminal.json(action === 'list' ? { topics } : { topic: topics[0] })
    else if (topics.length === 0) await terminal.write('no topics yet: onefold publish TOPIC creates one\n')
    else {
      const rows = topics.map((each) => [
        each.name,
        count(each.partitions.length),
        keyedWord(each.keyed),
        each.idReuse,
        count(each.messages),
      ])
      await terminal.write(table(['NAME', '>PARTITIONS', 'KEYED', 'ID REUSE', '>MESSAGES'], rows))
    }
    return 0
  },
})
