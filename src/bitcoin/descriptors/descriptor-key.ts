/**
 * What tells descriptors apart by the scripts that they derive: the text without key origin and checksum, which are notes
 * for signers and people. Two wallets with the same one would watch the same scripts.
 */
export function descriptorKey(text: string): string {
  return text.replace(/\[[^\]]*\]/, '').replace(/#.*$/, '');
}
