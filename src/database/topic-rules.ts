import { OnefoldError } from '../errors.ts'
import type { AnyTopic } from '../topic.ts'
import { topicLimits } from '../topic.ts'
import type { TopicRecord } from './database.ts'

/** @throws OnefoldError `TOPIC_CHANGED` where the program says otherwise than what is fixed. */
export function checkUnchanged(topic: AnyTopic, known: TopicRecord): void {
  const { partitions, idReuse } = topic.settings
  if (partitions !== undefined && partitions !== known.partitions)
    refuse(topic.name, 'partitions', known.partitions, partitions, `--partitions ${partitions}`)
  const keyed = topic.key !== undefined
  if (known.keyed !== undefined && keyed !== known.keyed)
    refuse(topic.name, 'key', known.keyed ? 'set' : 'absent', keyed ? 'set' : 'absent', `--keyed ${keyed ? 'yes' : 'no'}`)
  if (idReuse !== undefined && idReuse !== known.idReuse)
    refuse(topic.name, 'idReuse', known.idReuse, idReuse, `--id-reuse ${idReuse}`)
}

/** Does it have a key? A tool that gives none does not know. */
export const keyedOf = (topic: AnyTopic): boolean | undefined =>
  topic.key !== undefined ? true : topic.adopt === true ? undefined : false

export function noSuchTopic(name: string): OnefoldError {
  return new OnefoldError('NOT_FOUND', `there is no topic ${name} in this database.`, { details: { topic: name } })
}

/** `busy`: what is under way, in words. */
export function topicBusy(name: string, busy: string): OnefoldError {
  return new OnefoldError(
    'NOT_POSSIBLE',
    `topic ${name} cannot change while ${busy}: order and identity of what is under way rest on it. Stop its consumers once they have caught up, then repeat.`,
    { retry: 'later', details: { topic: name } },
  )
}

/** @throws OnefoldError `OPTION_INVALID`: partitions are never taken away. */
export function checkRaised(known: TopicRecord, partitions: number): void {
  if (partitions >= known.partitions && partitions <= topicLimits.maxPartitions) return
  throw new OnefoldError(
    'OPTION_INVALID',
    `partitions is ${partitions}; it can only be raised: from ${known.partitions} to at most ${topicLimits.maxPartitions}.`,
    { details: { option: 'partitions' } },
  )
}

function refuse(topic: string, option: string, was: string | number, is: string | number, flags: string): never {
  throw new OnefoldError(
    'TOPIC_CHANGED',
    `topic ${topic}: ${option} is fixed in the database as ${was}, but the program says ${is}. Put it back, or once the consumers have caught up and stopped: onefold topic change ${topic} ${flags}`,
    { details: { topic, option, was, is, command: `onefold topic change ${topic} ${flags}` } },
  )
}
