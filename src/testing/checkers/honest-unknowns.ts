import type { History } from '../history.ts'
import { callsOf, unresolved } from './call-rounds.ts'
import type { Message, Reading } from './reading.ts'
import { aboutGroup, isClosed, isWithPerson, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * Every publish and every call whose outcome was unknown ends resolved, safely repeated (the same identity, the same token), or
 * with a person. A message is not applied while one of its calls is in doubt. What a producer that was ended for good left in
 * doubt stays so, and accuses nobody.
 */
export function honestUnknowns(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  return [...saidAgain(reading), ...publishesInDoubt(reading), ...callsInDoubt(reading)]
}

/** The same intent under two identities, although the first may have happened. */
function* saidAgain(reading: Reading): Iterable<Violation> {
  const intents = new Map<string, { readonly index: number; readonly message: Message }>()
  const publishes = [...reading.messages.values()]
    .flatMap((ofTopic) => [...ofTopic.values()])
    .flatMap((message) => message.publishes.map((at) => ({ ...at, message })))
    .filter(({ operation }) => operation.intent !== undefined && operation.outcome !== 'did-not-happen')
    .sort((a, b) => a.index - b.index)
  for (const { index, operation, message } of publishes) {
    const { topic, identity } = message
    const intent = JSON.stringify([topic, operation.intent])
    const before = intents.get(intent)
    if (before === undefined) intents.set(intent, { index, message })
    else if (before.message !== message) {
      const what = `What ${named(before.message)} says was published again as ${identity}, although the first may have been published: nobody can recognise the repeat.`
      yield violation('honest-unknowns', what, [before.index, index], { topic, identity })
    }
  }
}

/** Its producer lived on, and neither repeated it nor learned what became of it. */
function* publishesInDoubt(reading: Reading): Iterable<Violation> {
  const { end } = reading
  if (end?.operation.quiet !== true) return
  for (const ofTopic of reading.messages.values()) {
    for (const message of ofTopic.values()) {
      const { topic, identity, publishes, producer } = message
      const last = publishes.at(-1)
      if (last === undefined || last.operation.outcome !== 'unknown' || message.certain) continue
      if (producer === undefined || reading.ended.has(producer)) continue
      const what = `The publish of ${named(message)} ended without an answer, and its producer neither repeated it nor asked what became of it.`
      yield violation('honest-unknowns', what, [last.index, end.index], { topic, identity })
    }
  }
}

function* callsInDoubt(reading: Reading): Iterable<Violation> {
  for (const group of reading.groups('honest-unknowns')) {
    for (const handled of group.handled.values()) {
      if (handled.requests.length === 0 || isClosed(handled)) continue
      const { message, happened, unknown } = handled
      for (const [call, rounds] of callsOf(handled)) {
        const doubt = unresolved(rounds)
        if (doubt === undefined) continue
        const effect = happened[0]
        if (effect !== undefined) {
          const what = `Group ${group.group} applied ${named(message)} although nobody knew whether its call ${call} had happened.`
          yield violation('honest-unknowns', what, [doubt.index, effect.index], aboutGroup(message, group))
          continue
        }
        const { end } = reading
        if (end?.operation.quiet !== true || unknown.length > 0 || isWithPerson(handled)) continue
        const waiting = reading.isWaiting(message, group.group)
        if (waiting === true) continue
        const what = `The outcome of call ${call} for ${named(message)} stayed unknown, and no person is told.`
        yield violation('honest-unknowns', what, [doubt.index, end.index], aboutGroup(message, group))
      }
    }
  }
}
