import type { AppBlueprint } from '../../app-blueprint.ts'
import type { Subject } from './subject.ts'
import type { World } from './world.ts'

const known = new WeakMap<Subject, AppBlueprint['consumers']>()

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
