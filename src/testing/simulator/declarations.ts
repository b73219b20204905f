import type { AppBlueprint } from '../../app-blueprint.ts'
import type { CheckOptions } from '../checkers/violation.ts'
import type { Subject } from './subject.ts'
import type { World } from './world.ts'

const known = new WeakMap<Subject, AppBlueprint['consumers']>()
const knownPromises = new WeakMap<Subject, CheckOptions>()

/** What every life declares. Looked at once: the declarations of a life that nobody starts say no more the second time. */
export function consumersOf(subject: Subject): AppBlueprint['consumers'] {
  let consumers = known.get(subject)
  if (consumers === undefined) {
    // A place would keep alive whoever stood on the stack.
    consumers = withoutPlaces(() => subject.make()).blueprint.consumers
    known.set(subject, consumers)
  }
  return consumers
}

/** What the checkers hold an app to. */
export function promisesOf(subject: Subject): CheckOptions {
  let promises = knownPromises.get(subject)
  if (promises === undefined) {
    promises = promised(subject)
    knownPromises.set(subject, promises)
  }
  return promises
}

function promised(subject: Subject): CheckOptions {
  const consumers = consumersOf(subject)
  const each = <T>(value: (consumer: (typeof consumers)[number]) => T): Record<string, T> =>
    Object.fromEntries(consumers.map((consumer) => [consumer.options.group, value(consumer)]))
  const calls = consumers.flatMap(({ options }) => Object.entries((options.calls ?? {}) as Record<string, { rule: never }>))
  return {
    semantics: each(({ options }) => options.semantics ?? 'effectively-once'),
    promises: {
      repeatsRecognised: subject.broker === undefined,
      order: each(({ topic }) => (topic.settings.order === 'none' ? 'none' : 'key')),
      onExhausted: each(({ options }) => options.onExhausted ?? 'hold'),
      calls: Object.fromEntries(
        calls.map(([name, { rule }]) => [name, { rule, chargedOnce: subject.honoursTokens || rule === 'ask-person' }]),
      ),
    },
  }
}

/**
 * Declares, and keeps where only when somebody wants to hear the story: to find the place of a consumer takes longer than to
 * declare it. What throws has been run with its place before, by whoever called `prove`.
 */
export function declaring<R>(world: World, work: () => R): R {
  return world.story === undefined ? withoutPlaces(work) : work()
}

function withoutPlaces<R>(work: () => R): R {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return work()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}
