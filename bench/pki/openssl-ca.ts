import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PkiLab } from './lab.ts'
import { type ProgramRun, runProgram } from './program.ts'

/** Certificates with as much in them as ours: `openssl ca` writes them as its configuration says. */
const configuration = (folder: string): string => `[ca]
default_ca = own
[own]
database = ${folder}/index.txt
new_certs_dir = ${folder}/issued
crlnumber = ${folder}/crlnumber
certificate = ${folder}/ca.pem
private_key = ${folder}/ca.key
default_md = sha256
default_days = 90
default_crl_days = 7
rand_serial = yes
unique_subject = no
policy = any
x509_extensions = concentrator
[any]
organizationName = optional
organizationalUnitName = optional
commonName = optional
[concentrator]
authorityKeyIdentifier = keyid
subjectKeyIdentifier = hash
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
certificatePolicies = 2.25.1
subjectAltName = URI:urn:ami:concentrator:dc-1
`

/** A CA directory as `openssl ca` keeps it, with a key on P-256 and nothing issued. @returns its folder */
export async function makeOpensslCa({ folder: lab }: PkiLab, name: string): Promise<string> {
  const folder = join(lab, name)
  mkdirSync(join(folder, 'issued'), { recursive: true })
  writeFileSync(join(folder, 'ca.cnf'), configuration(folder))
  writeFileSync(join(folder, 'index.txt'), '')
  writeFileSync(join(folder, 'crlnumber'), '01\n')
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'ca.key']
  await runProgram('openssl', ['req', '-x509', ...key, '-subj', '/CN=CA', '-days', '30', '-out', 'ca.pem'], folder)
  return folder
}

/** One batch over all requests; the subject is one for all, since our requests name nobody. */
export function opensslIssue(folder: string, requests: string, names: readonly string[]): Promise<ProgramRun> {
  const fixed = ['-config', join(folder, 'ca.cnf'), '-batch', '-notext', '-subj', '/O=AMI/OU=Devices/CN=dc-1']
  return runProgram('openssl', ['ca', ...fixed, '-infiles', ...names], requests)
}

export function opensslCrl(folder: string): Promise<ProgramRun> {
  return runProgram('openssl', ['ca', '-gencrl', '-config', join(folder, 'ca.cnf'), '-out', 'crl.pem'], folder)
}
