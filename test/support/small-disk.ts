import { afterAll } from 'vitest'
import { temporaryFolder } from './temporary.ts'
import { TmpfsDisk } from './tmpfs-disk.ts'

const mounted: TmpfsDisk[] = []

afterAll(() => {
  for (const disk of mounted.splice(0)) disk.unmount()
})

/** A small disk for a test file; undefined, with a reason printed, where this user may not mount one. */
export function smallDisk(mebibytes: number): TmpfsDisk | undefined {
  const disk = TmpfsDisk.mount(temporaryFolder(), mebibytes)
  if (typeof disk === 'string') {
    console.warn(`skipped: ${disk}`)
    return undefined
  }
  mounted.push(disk)
  return disk
}
