import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = fileURLToPath(new URL('../..', import.meta.url))

/** A change of one file under src/, by its text. */
export interface Change {
  readonly file: string
  readonly from: string
  readonly to: string
}

/** Copies into `folder` what runs without the rest of the repository: the source, and the programs of the tests that import it. */
export function copySource(folder: string, changes: readonly Change[] = []): void {
  for (const part of ['src', 'test/support', 'package.json'])
    cpSync(join(repository, part), join(folder, part), { recursive: true })
  for (const change of changes) changeCopy(folder, change)
}

function changeCopy(folder: string, { file, from, to }: Change): void {
  const path = join(folder, 'src', file)
  const source = readFileSync(path, 'utf8')
  const times = source.split(from).length - 1
  // Else a mutant that is no mutant any more would be called noticed, or missed, for nothing.
  if (times !== 1) throw new Error(`${JSON.stringify(from)} is to be in src/${file} once, and is there ${times} times`)
  writeFileSync(
    path,
    source.replace(from, () => to),
  )
}
