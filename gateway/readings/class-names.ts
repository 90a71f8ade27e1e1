/** Interface classes and their attributes from the second on; the first is always the logical name. */
const table = `1 Data: value
3 Register: value, scaler_unit
4 Extended register: value, scaler_unit, status, capture_time
5 Demand register: current_average_value, last_average_value, scaler_unit, status, capture_time, start_time_current, period, number_of_periods
6 Register activation: register_assignment, mask_list, active_mask
7 Profile generic: buffer, capture_objects, capture_period, sort_method, sort_object, entries_in_use, profile_entries
8 Clock: time, time_zone, status, daylight_savings_begin, daylight_savings_end, daylight_savings_deviation, daylight_savings_enabled, clock_base
9 Script table: scripts
10 Schedule: entries
11 Special days table: entries
12 Association SN: object_list, access_rights_list, security_setup_reference
15 Association LN: object_list, associated_partners_id, application_context_name, xDLMS_context_info, authentication_mechanism_name, secret, association_status, security_setup_reference, user_list, current_user
17 SAP assignment: SAP_assignment_list
18 Image transfer: image_block_size, image_transferred_blocks_status, image_first_not_transferred_block_number, image_transfer_enabled, image_transfer_status, image_to_activate_info
19 IEC local port setup: default_mode, default_baud, prop_baud, response_time, device_addr, pass_p1, pass_p2, pass_w5
20 Activity calendar: calendar_name_active, season_profile_active, week_profile_table_active, day_profile_table_active, calendar_name_passive, season_profile_passive, week_profile_table_passive, day_profile_table_passive, activate_passive_calendar_time
21 Register monitor: thresholds, monitored_value, actions
22 Single action schedule: executed_script, type, execution_time
23 IEC HDLC setup: comm_speed, window_size_transmit, window_size_receive, max_info_field_length_transmit, max_info_field_length_receive, inter_octet_time_out, inactivity_time_out, device_address
24 IEC twisted pair setup: mode, speed, primary_address_list, tabi_list
25 M-Bus slave port setup: default_baud, avail_baud, addr_state, bus_address
26 Utility tables: table_ID, length, buffer
27 Modem configuration: comm_speed, initialization_string, modem_profile
28 Auto answer: mode, listening_window, status, number_of_calls, number_of_rings, list_of_allowed_callers
29 Auto connect: mode, repetitions, repetition_delay, calling_window, destination_list
30 Data protection: protection_buffer, protection_object_list, protection_parameters_get, protection_parameters_set, required_protection
40 Push setup: push_object_list, send_destination_and_method, communication_window, randomisation_start_interval, number_of_retries, repetition_delay, port_reference, push_client_SAP, push_protection_parameters, push_operation_method, confirmation_parameters, last_confirmation_date_time
41 TCP-UDP setup: TCP-UDP_port, IP_reference, MSS, nb_of_sim_conn, inactivity_time_out
42 IPv4 setup: DL_reference, IP_address, multicast_IP_address, IP_options, subnet_mask, gateway_IP_address, use_DHCP_flag, primary_DNS_address, secondary_DNS_address
43 MAC address setup: MAC_address
44 PPP setup: PHY_reference, LCP_options, IPCP_options, PPP_authentication
45 GPRS modem setup: APN, PIN_code, quality_of_service
46 SMTP setup: server_port, user_name, login_password, server_address, sender_address
47 GSM diagnostic: operator, status, cs_attachment, ps_status, cell_info, adjacent_cells, capture_time
48 IPv6 setup: DL_reference, address_config_mode, unicast_IPv6_addresses, multicast_IPv6_addresses, gateway_IPv6_addresses, primary_DNS_address, secondary_DNS_address, traffic_class, neighbor_discovery_setup
61 Register table: table_cell_values, table_cell_definition, scaler_unit
62 Compact data: compact_buffer, capture_objects, template_id, template_description, capture_method
63 Status mapping: status_word, mapping_table
64 Security setup: security_policy, security_suite, client_system_title, server_system_title, certificates
65 Parameter monitor: changed_parameter, capture_time, parameters
68 Arbitrator: actions, permissions_table, weightings_table, most_recent_requests_table, last_outcome
70 Disconnect control: output_state, control_state, control_mode
71 Limiter: monitored_value, threshold_active, threshold_normal, threshold_emergency, min_over_threshold_duration, min_under_threshold_duration, emergency_profile, emergency_profile_group_id_list, emergency_profile_active, actions
72 M-Bus client: mbus_port_reference, capture_definition, capture_period, primary_address, identification_number, manufacturer_id, version, device_type, access_number, status, alarm, configuration, encryption_key_status
73 Wireless mode Q channel
74 M-Bus master port setup: comm_speed
76 DLMS server M-Bus port setup: M-Bus_profile_selection, M-Bus_port_communication_state, M-Bus_data_header_type, primary_address, identification_number, manufacturer_id, version, device_type, max_pdu_size, listening_window
77 M-Bus diagnostic: received_signal_strength, channel_id, link_status, broadcast_frames_counter, transmissions_counter, FCS_OK_frames_counter, FCS_NOK_frames_counter, capture_time
80 IEC 61334-4-32 LLC SSCS setup
81 PRIME NB OFDM PLC physical layer counters
82 PRIME NB OFDM PLC MAC setup
83 PRIME NB OFDM PLC MAC functional parameters
84 PRIME NB OFDM PLC MAC counters
85 PRIME NB OFDM PLC MAC network administration data
86 PRIME NB OFDM PLC application identification
90 G3-PLC MAC layer counters
91 G3-PLC MAC setup
92 G3-PLC 6LoWPAN adaptation layer setup
100 NTP setup: activated, server_address, server_port, authentication_method, authentication_keys, client_key
111 Account
112 Credit
113 Charge
115 Token gateway
122 Function control: activation_status, function_list
123 Array manager: array_object_list`

interface ClassNames {
  name: string
  /** from attribute 2 on */
  attributes: readonly string[]
}

const classes: ReadonlyMap<number, ClassNames> = new Map(
  table.split('\n').map((line) => {
    const [, id, name, attributes] = /^(\d+) ([^:]+)(?:: (.*))?$/.exec(line)!
    return [Number(id), { name: name!, attributes: attributes?.split(', ') ?? [] }]
  }),
)

/** `Register`; `class 200` where none is known. @see Blue Book, interface classes */
export function className(classId: number): string {
  return classes.get(classId)?.name ?? `class ${classId}`
}

/** `scaler_unit`; `attribute 9` where none is known, `all attributes` for 0. @see Blue Book, interface classes */
export function attributeName(classId: number, attribute: number): string {
  if (attribute === 0) return 'all attributes'
  if (attribute === 1) return 'logical_name'
  return classes.get(classId)?.attributes[attribute - 2] ?? `attribute ${attribute}`
}
