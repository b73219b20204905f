import type { History, RequestOperation } from '../history.ts'
import { isAnswer } from './call-rounds.ts'
import type { At, Handled, Message, Reading } from './reading.ts'
import { aboutGroup, entry, named, publishOf, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * Calls keep the order of their key: nothing is asked for on behalf of a message after a later one of its key, nor, where times
 * are told, while a request for another one is still being answered. A request under a token that was answered before may be
 * a zombie's and is not judged. One violation for each message.
 */
export function callTurn(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  for (const group of reading.groups('call-turn')) {
    if (reading.order(group.group) === 'none') continue
    const lanes = new Map<string, Asked[]>()
    for (const handled of group.handled.values()) {
      const lane = reading.lane(handled.message, group.group)
      if (lane === undefined) continue
      const answered = new Set<string>()
      const asked = new Set<string>()
      const [applied] = handled.happened
      for (const at of handled.requests) {
        const { call, token, worker } = at.operation
        const request = JSON.stringify([call, token])
        // Somebody else has applied it since: only who owned it before can still ask.
        const zombie =
          asked.has(request) && applied !== undefined && at.index > applied.index && worker !== applied.operation.worker
        asked.add(request)
        if (!answered.has(request) && !zombie) entry(lanes, lane, () => [] as Asked[]).push({ ...at, handled })
        if (isAnswer(at.operation)) answered.add(request)
      }
    }
    for (const asked of lanes.values()) {
      const accused = new Set<Message>()
      for (const { what, before, at } of outOfTurn(asked.sort((a, b) => a.index - b.index))) {
        const { message } = at.handled
        if (accused.has(message) || mayOvertake(reading, before.handled, at.handled)) continue
        accused.add(message)
        const evidence = [publishOf(message), publishOf(before.handled.message), before.index, at.index]
        found.push(violation('call-turn', what, evidence, aboutGroup(message, group)))
      }
    }
  }
  return found
}

interface Asked extends At<RequestOperation> {
  readonly handled: Handled
}

function* outOfTurn(asked: readonly Asked[]): Iterable<{ readonly what: string; readonly before: Asked; readonly at: Asked }> {
  const furthest = new Map<string, Asked>()
  let answered: Asked | undefined
  for (const at of asked) {
    const { message } = at.handled
    const { call, beganMs, endedMs } = at.operation
    const name = `Call ${call} for ${named(message)}`
    if (message.producer !== undefined) {
      const before = furthest.get(message.producer)
      if (before !== undefined && before.handled.message.earliest > message.latest) {
        yield {
          what: `${name} was asked for after one for ${before.handled.message.identity}, a later one of its key.`,
          before,
          at,
        }
      }
      if (before === undefined || message.earliest > before.handled.message.earliest) furthest.set(message.producer, at)
    }
    const until = answered?.operation.endedMs
    if (
      answered !== undefined &&
      until !== undefined &&
      answered.handled.message !== message &&
      beganMs !== undefined &&
      beganMs < until
    ) {
      yield {
        what: `${name} was asked for while one for ${answered.handled.message.identity} of its key was being answered.`,
        before: answered,
        at,
      }
    }
    if (endedMs !== undefined && endedMs > (until ?? Number.NEGATIVE_INFINITY)) answered = at
  }
}

/** One of both had gone to a person, and the other went on. */
function mayOvertake(reading: Reading, one: Handled, other: Handled): boolean {
  return !reading.holds(one.group.group) && one.attention.length + other.attention.length > 0
}
