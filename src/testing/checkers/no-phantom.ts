import type { History } from '../history.ts'
import type { Handled, Message, Reading } from './reading.ts'
import { aboutGroup, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * Nothing happens for a message that was never published, that was refused, or with another body than was published. Topics of
 * which no publish is written down at all are not judged.
 */
export function noPhantom(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  for (const group of reading.groups('no-phantom')) {
    if (!reading.publishedTopics.has(group.topic)) continue
    for (const handled of group.handled.values()) {
      const { message } = handled
      for (const { index, what } of message.possible ? otherBodies(handled) : traces(handled)) {
        const publishes = message.publishes.map((publish) => publish.index)
        found.push(violation('no-phantom', what, [...publishes, index], aboutGroup(message, group)))
      }
    }
  }
  return found
}

interface Trace {
  readonly index: number
  readonly what: string
}

/** Every effect; where there is none, the first other thing that was done for it. */
function traces({ message, group, happened, attention, requests, charges, inbox }: Handled): Trace[] {
  const why = message.publishes.length === 0 ? 'nobody published it' : 'its publish was refused'
  if (happened.length > 0) {
    return happened.map(({ index }) => ({ index, what: `Group ${group.group} applied ${named(message)}, and ${why}.` }))
  }
  const first = Math.min(...[attention[0], requests[0], charges[0], inbox[0]].map((at) => at?.index ?? Number.POSITIVE_INFINITY))
  if (first === Number.POSITIVE_INFINITY) return []
  return [{ index: first, what: `Group ${group.group} handled ${named(message)}, and ${why}.` }]
}

function otherBodies({ message, group, happened }: Handled): Trace[] {
  const bodies = bodiesOf(message)
  if (bodies === undefined) return []
  return happened
    .filter(({ operation: { body, revision } }) => body !== undefined && (revision ?? 0) === 0 && !bodies.has(body))
    .map(({ index }) => ({ index, what: `Group ${group.group} applied ${named(message)} with another body than was published.` }))
}

/** Undefined: one of them is not known. */
function bodiesOf(message: Message): ReadonlySet<string> | undefined {
  const bodies = new Set<string>()
  for (const { operation } of message.publishes) {
    if (operation.outcome === 'did-not-happen') continue
    if (operation.body === undefined) return undefined
    bodies.add(operation.body)
  }
  return bodies
}
