import { spawnSync } from 'node:child_process'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { temporaryFolder } from './temporary.ts'

const mounted: string[] = []

afterAll(() => {
  for (const folder of mounted.splice(0)) spawnSync('umount', ['-l', folder])
})

/** A disk of a few MiB that a test can fill; undefined, with a reason printed, where this user may not mount one. */
export function smallDisk(mebibytes: number): SmallDisk | undefined {
  const folder = temporaryFolder()
  const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder])
  if (status !== 0) {
    console.warn(`skipped: a small tmpfs cannot be mounted here (${error?.message ?? String(stderr).trim()}); run as root`)
    return undefined
  }
  mounted.push(folder)
  return new SmallDisk(folder)
}

export class SmallDisk {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  /** Takes all space but `leaving` bytes. */
  fill(leaving = 0): void {
    const { bavail, bsize } = statfsSync(this.folder)
    writeFileSync(join(this.folder, 'filler'), Buffer.alloc(Math.max(0, bavail * bsize - leaving)))
  }

  free(): void {
    rmSync(join(this.folder, 'filler'), { force: true })
  }
}
