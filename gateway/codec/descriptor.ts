import type { Obis } from '../model.ts'
import type { Budget } from './axdr.ts'
import { decodeOptional, writeOptional } from './constructs.ts'
import { decodeObis, encodeObis, logicalNameOctets } from './obis.ts'
import type { OctetReader, OctetWriter } from './octets.ts'
import { decodeSelectiveAccess, type SelectiveAccess, writeSelectiveAccess } from './selective-access.ts'

/** @see IEC 62056-5-3, Cosem-Attribute-Descriptor */
export interface AttributeDescriptor {
  /** 0 to 65,535 */
  classId: number
  obis: Obis
  /** -128 to 127; 0 is all attributes */
  attribute: number
}

/** @see IEC 62056-5-3, Cosem-Method-Descriptor */
export interface MethodDescriptor {
  /** 0 to 65,535 */
  classId: number
  obis: Obis
  /** -128 to 127 */
  method: number
}

/** @see IEC 62056-5-3, Cosem-Attribute-Descriptor-With-Selection */
export interface SelectedAttribute extends AttributeDescriptor {
  /** `undefined` asks for the whole attribute */
  selection: SelectiveAccess | undefined
}

/** @throws PeerError `APDU_TRUNCATED` */
export function decodeAttribute(reader: OctetReader): AttributeDescriptor {
  return { classId: reader.uint(2), obis: decodeObis(reader.octets(logicalNameOctets)), attribute: reader.int(1) }
}

/** @see decodeAttribute */
export function writeAttribute(writer: OctetWriter, { classId, obis, attribute }: AttributeDescriptor): void {
  writer.uint(2, classId).octets(encodeObis(obis)).int(1, attribute)
}

/** @throws PeerError `APDU_TRUNCATED` */
export function decodeMethod(reader: OctetReader): MethodDescriptor {
  return { classId: reader.uint(2), obis: decodeObis(reader.octets(logicalNameOctets)), method: reader.int(1) }
}

/** @see decodeMethod */
export function writeMethod(writer: OctetWriter, { classId, obis, method }: MethodDescriptor): void {
  writer.uint(2, classId).octets(encodeObis(obis)).int(1, method)
}

/** @param budget shared by all values of the APDU @throws PeerError `APDU_TRUNCATED`, `DATA_*` */
export function decodeSelectedAttribute(reader: OctetReader, budget: Budget): SelectedAttribute {
  const attribute = decodeAttribute(reader)
  return { ...attribute, selection: decodeOptional(reader, (reader) => decodeSelectiveAccess(reader, budget)) }
}

/** @see decodeSelectedAttribute */
export function writeSelectedAttribute(writer: OctetWriter, attribute: SelectedAttribute): void {
  writeAttribute(writer, attribute)
  writeOptional(writer, attribute.selection, writeSelectiveAccess)
}
