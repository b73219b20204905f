import type { History } from '../history.ts'
import type { Applied, Reading } from './reading.ts'
import { aboutGroup, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/** Once an owner has committed under an epoch, nobody commits under a lower one of the same partition: a zombie changes nothing. */
export function fenced(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  for (const group of reading.groups('fenced')) {
    for (const effects of group.effects.values()) {
      const highest = new Map<string, { readonly epoch: number; readonly at: Applied }>()
      for (const at of effects) {
        const { outcome, epoch, partition = '', worker } = at.operation
        if (outcome !== 'happened' || epoch === undefined) continue
        const newest = highest.get(partition)
        if (newest === undefined || epoch >= newest.epoch) highest.set(partition, { epoch, at })
        else {
          const who = worker === undefined ? 'A former owner' : `Worker ${worker}`
          const what = `${who} committed ${named(at.handled.message)} under epoch ${epoch} after epoch ${newest.epoch} had committed in the same partition.`
          found.push(violation('fenced', what, [newest.at.index, at.index], aboutGroup(at.handled.message, group)))
        }
      }
    }
  }
  return found
}
