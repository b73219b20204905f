import { checkName } from '../topic.ts'
import { defineCommand } from './command.ts'
import { databaseTarget, requireDatabase } from './database-target.ts'
import { withApp } from './open-app.ts'
import { plural } from './readable.ts'
import { renderGroups } from './render-status.ts'
import { UsageError } from './usage-error.ts'

export const group = defineCommand({
  name: 'group',
  summary: 'list consumer groups, or remove one',
  usage: ['group [list]', 'group remove GROUP --topic TOPIC'],
  description: [
    'A consumer group is durable: once it has consumed, it keeps its place, and messages are kept for it until it has applied ' +
      'them, whether or not a process runs. "remove" ends that: the place of the group in TOPIC is forgotten, with its parked ' +
      'messages, those waiting for a person, and the journal of its external calls. It says how many those were. A group of the same name starts anew afterwards.',
  ],
  promise: 'A group that a process consumes at this moment is not removed.',
  options: { topic: { kind: 'text', value: 'TOPIC', help: 'the topic the group consumes (for remove)' } },
  examples: ['onefold group list', 'onefold group remove mail --topic deliveries'],

  async run({ values, positionals, terminal, runtime, environment }) {
    const [action = 'list', name, ...rest] = positionals
    if (action !== 'list' && action !== 'remove')
      throw new UsageError(`unknown action ${JSON.stringify(action)}; group knows list and remove`)
    const extra = action === 'list' ? name : rest[0]
    if (extra !== undefined) throw new UsageError(`group ${action} got an argument too many: ${JSON.stringify(extra)}`)
    const target = databaseTarget(values, environment)
    if (action === 'list') {
      if (values.topic !== undefined) throw new UsageError('--topic goes with group remove; group list shows all')
      requireDatabase(target)
      const groups = await withApp(target, { runtime }, { create: false }, (app) => app.groups.list())
      if (values.json) await terminal.json({ groups })
      else await terminal.write(renderGroups(groups) || 'no groups yet: onefold consume TOPIC --group G creates one\n')
      return 0
    }
    if (name === undefined) throw new UsageError('group remove needs a GROUP')
    if (values.topic === undefined) throw new UsageError('group remove needs --topic TOPIC')
    const topic = values.topic
    checkName('--topic', topic)
    requireDatabase(target)
    const removed = await withApp(target, { runtime }, { create: false }, (app) => app.groups.remove(topic, name))
    if (values.json) await terminal.json({ topic, group: name, removed })
    else {
      const waiting = `${plural(removed.parked, 'parked message')} and ${plural(removed.attention, 'message')} waiting for a person`
      const kept = `${plural(removed.calls, 'external call')} in its journal and ${plural(removed.attempts, 'failed attempt')}`
      await terminal.write(`group ${name} of topic ${topic} removed, with ${waiting}; ${kept} were kept for it\n`)
    }
    return 0
  },
})
