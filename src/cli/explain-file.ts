import { basename } from 'node:path'
import type { Runtime } from '../runtime.ts'
import type { DatabaseTarget } from './database-target.ts'
import { requireDatabase } from './database-target.ts'
import { withApp } from './open-app.ts'
import { printable, table, wrap } from './readable.ts'
import { keyedWord } from './render-status.ts'

/** What a database tells of the guarantee without the program. */
export interface ExplainedFile {
  readonly file: string
  readonly topics: readonly {
    readonly name: string
    readonly keyed: boolean | null
    readonly idReuse: string
    readonly partitions: number
  }[]
  readonly groups: readonly { readonly topic: string; readonly group: string; readonly semantics: string }[]
  readonly onlyTheProgramKnows: readonly string[]
  /** Where it has been moved to (`onefold move`): nothing is accepted here any more. */
  readonly movedTo?: string
}

const onlyTheProgramKnows = [
  'whether a topic has an id function, so whether repeats of its producers are recognised',
  'the order of a topic, its schema, and how long identities are remembered',
  'how often a message is attempted, and whether its key waits after the last attempt',
  'the declared calls and what is done when nobody knows what became of one',
  'whether a commit is flushed to the disk (synchronous), and which broker carries the messages',
]

/** @throws OnefoldError `NOT_FOUND`, and what opening the file throws. */
export async function explainFile(target: DatabaseTarget, runtime: Runtime): Promise<ExplainedFile> {
  requireDatabase(target)
  return await withApp(target, { runtime }, { create: false }, async (app) => {
    const { database, topics, groups } = await app.status()
    return {
      file: target.kind === 'file' ? basename(target.file) : target.name,
      topics: topics.map(({ name, keyed, idReuse, partitions }) => ({ name, keyed, idReuse, partitions: partitions.length })),
      groups: groups.map(({ topic, group, semantics }) => ({ topic, group, semantics })),
      onlyTheProgramKnows,
      ...(database.movedTo === undefined ? {} : { movedTo: database.movedTo }),
    }
  })
}

export function renderFile({ file, topics, groups, onlyTheProgramKnows: unknown, movedTo }: ExplainedFile): string {
  const lines = [
    `What ${printable(file)} alone can tell`,
    ...(movedTo === undefined ? [] : [`It has been moved to ${printable(movedTo)}: nothing is accepted here any more.`]),
    '',
    'Topics',
    topics.length === 0
      ? '  none yet'
      : table(
          ['NAME', 'KEYED', 'ID REUSE', '>PARTITIONS'],
          topics.map((topic) => [printable(topic.name), keyedWord(topic.keyed), topic.idReuse, String(topic.partitions)]),
          '  ',
        ).trimEnd(),
    '',
    'Groups, with the semantics they were last started with',
    groups.length === 0
      ? '  none yet'
      : table(
          ['TOPIC', 'GROUP', 'SEMANTICS'],
          groups.map(({ topic, group, semantics }) => [printable(topic), printable(group), semantics]),
          '  ',
        ).trimEnd(),
    '',
    'Only the program knows',
    ...unknown.map((each) => wrap(each, 2)),
    '',
    'onefold explain MODULE tells all of it, where the default export of MODULE is the app.',
    '',
  ]
  return lines.join('\n')
}
