import { spawnSync } from 'node:child_process'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A disk of a few MiB that can be filled and emptied again. */
export class TmpfsDisk {
  readonly folder: string

  /** On an empty folder; where this user may not mount one, the reason. */
  static mount(folder: string, mebibytes: number): TmpfsDisk | string {
    const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder])
    if (status !== 0) return `a small tmpfs cannot be mounted here (${error?.message ?? String(stderr).trim()}); run as root`
    return new TmpfsDisk(folder)
  }

  private constructor(folder: string) {
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

  unmount(): void {
    spawnSync('umount', ['-l', this.folder])
  }
}
