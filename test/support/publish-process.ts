/**
 * A process of its own that publishes one message after the other to a file. Started as `node publish-process.ts FILE`; says of
 * each what it was answered, a line each, and freezes itself after the fifth, unless FILE is followed by `goes-on`. It ends when
 * one is refused.
 */
import { writeSync } from 'node:fs'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { isOnefoldError, onefold, topic } from '../../src/index.ts'

export const publishProcess = new URL(import.meta.url).pathname

async function main(file: string, freezes: boolean): Promise<void> {
  const notes = topic<{ id: string }>('notes', { partitions: 2, id: (note) => note.id, key: (note) => note.id })
  const app = onefold({ database: sqlite(file) })
  for (let number = 1; ; number++) {
    try {
      await app.publish(notes, { id: String(number) })
      writeSync(1, `accepted ${number}\n`)
    } catch (error) {
      if (!isOnefoldError(error)) throw error
      writeSync(1, `refused ${number} ${error.code} ${error.outcome} ${error.retry}\n`)
      break
    }
    if (number !== 5 || !freezes) continue
    writeSync(1, 'frozen\n')
    process.kill(process.pid, 'SIGSTOP')
  }
  await app.stop()
}

const [, program, file, goesOn] = process.argv
if (program === publishProcess && file !== undefined) await main(file, goesOn === undefined)
