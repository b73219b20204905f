import type { EffectOperation, History } from '../history.ts'
import type { Reading } from './reading.ts'
import { aboutGroup, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * A handler that is run again with the same message, the same answers of its calls and the same state does the same. Compares
 * attempts that came to their end, committed or rolled back, and that say what they read and wrote.
 */
export function determinism(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  for (const group of reading.groups('determinism')) {
    for (const { message, happened, unknown, undone } of group.handled.values()) {
      if (happened.length + unknown.length + undone.length < 2) continue
      const first = new Map<string, { readonly index: number; readonly did: string }>()
      for (const { index, operation } of [...happened, ...unknown, ...undone].sort((a, b) => a.index - b.index)) {
        const { read, wrote } = operation
        if (read === undefined || wrote === undefined) continue
        const given = JSON.stringify([
          read,
          operation.body,
          operation.revision ?? 0,
          Object.entries(operation.calls ?? {}).sort(),
        ])
        const did = JSON.stringify([wrote, published(operation)])
        const before = first.get(given)
        if (before === undefined) first.set(given, { index, did })
        else if (before.did !== did) {
          const what = `Two attempts of group ${group.group} at ${named(message)} read the same and did not do the same: the handler depends on something else (time, chance, memory, order).`
          found.push(violation('determinism', what, [before.index, index], aboutGroup(message, group)))
        }
      }
    }
  }
  return found
}

/** By body where it is told: ids that are minted differ each time. */
function published({ emits = [] }: EffectOperation): unknown {
  return emits.map(({ topic, key, body, identity }) => [topic, key, body ?? identity])
}
