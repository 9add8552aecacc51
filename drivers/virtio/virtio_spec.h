/*
 * VIRTIO 1.2 as far as barewire speaks it, in the specification's own names and order, so that it
 * can be checked against the text line by line. Nothing here is ours; what we keep is elsewhere.
 */
#ifndef DRIVERS_VIRTIO_SPEC_H
#define DRIVERS_VIRTIO_SPEC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* §2.1 "Device Status Field" */
#define VIRTIO_STATUS_ACKNOWLEDGE 1
#define VIRTIO_STATUS_DRIVER 2
#define VIRTIO_STATUS_DRIVER_OK 4
#define VIRTIO_STATUS_FEATURES_OK 8
#define VIRTIO_STATUS_DEVICE_NEEDS_RESET 64
#define VIRTIO_STATUS_FAILED 128

/* §4.1.2 "PCI Device Discovery" */
#define VIRTIO_PCI_VENDOR 0x1af4
#define VIRTIO_PCI_DEVICE_NET_TRANSITIONAL 0x1000
#define VIRTIO_PCI_DEVICE_NET 0x1041

/* §4.1.4.10 "Legacy Interfaces: A Note on PCI Device Layout": offsets into the I/O space of BAR 0 */
#define VIRTIO_PCI_LEGACY_DEVICE_FEATURES 0 /* 32 bits */
#define VIRTIO_PCI_LEGACY_DRIVER_FEATURES 4 /* 32 bits */
#define VIRTIO_PCI_LEGACY_QUEUE_ADDRESS 8   /* 32 bits, in pages */
#define VIRTIO_PCI_LEGACY_QUEUE_SIZE 12     /* 16 bits */
#define VIRTIO_PCI_LEGACY_QUEUE_SELECT 14   /* 16 bits */
#define VIRTIO_PCI_LEGACY_QUEUE_NOTIFY 16   /* 16 bits */
#define VIRTIO_PCI_LEGACY_STATUS 18         /* 8 bits */
#define VIRTIO_PCI_LEGACY_ISR 19            /* 8 bits */
#define VIRTIO_PCI_LEGACY_CONFIG 20         /* the device's configuration, MSI-X not enabled */
#define VIRTIO_PCI_LEGACY_CONFIG_VECTOR 20  /* 16 bits; this one and the next only with MSI-X */
#define VIRTIO_PCI_LEGACY_QUEUE_VECTOR 22   /* 16 bits, of the selected queue */
#define VIRTIO_PCI_LEGACY_CONFIG_MSIX 24    /* the same behind two vector registers, enabled */

/* §4.1.4 "Virtio Structure PCI Capabilities": offsets into struct virtio_pci_cap */
#define VIRTIO_PCI_CAP_LEN 2
#define VIRTIO_PCI_CAP_CFG_TYPE 3
#define VIRTIO_PCI_CAP_BAR 4
#define VIRTIO_PCI_CAP_OFFSET 8
#define VIRTIO_PCI_CAP_LENGTH 12
#define VIRTIO_PCI_CAP_BYTES 16
#define VIRTIO_PCI_NOTIFY_CAP_MULTIPLIER 16 /* notify_off_multiplier, §4.1.4.4 */
#define VIRTIO_PCI_NOTIFY_CAP_BYTES 20
#define VIRTIO_PCI_CFG_CAP_DATA 16 /* pci_cfg_data, §4.1.4.9 */
#define VIRTIO_PCI_CFG_CAP_BYTES 20

/* … its cfg_type */
#define VIRTIO_PCI_CAP_COMMON_CFG 1
#define VIRTIO_PCI_CAP_NOTIFY_CFG 2
#define VIRTIO_PCI_CAP_ISR_CFG 3
#define VIRTIO_PCI_CAP_DEVICE_CFG 4
#define VIRTIO_PCI_CAP_PCI_CFG 5

/* §4.1.4.3 "Common configuration structure layout" */
struct virtio_pci_common_cfg {
    uint32_t device_feature_select;
    uint32_t device_feature;
    uint32_t driver_feature_select;
    uint32_t driver_feature;
    uint16_t config_msix_vector;
    uint16_t num_queues;
    uint8_t device_status;
    uint8_t config_generation;
    uint16_t queue_select;
    uint16_t queue_size;
    uint16_t queue_msix_vector;
    uint16_t queue_enable;
    uint16_t queue_notify_off;
    uint64_t queue_desc;
    uint64_t queue_driver;
    uint64_t queue_device;
    uint16_t queue_notify_data; /* if NOTIF_CONFIG_DATA */
    uint16_t queue_reset;       /* if RING_RESET */
};
_Static_assert(offsetof(struct virtio_pci_common_cfg, device_status) == 20, "§4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_desc) == 32, "§4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_notify_data) == 56, "§4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_reset) == 58, "§4.1.4.3");
#define VIRTIO_PCI_COMMON_CFG_BYTES 60 /* the compiler's has a gap behind it */

/* §2.7.2 "Legacy Interfaces: A Note on Virtqueue Layout", §4.1.5.1.3 the page of the address */
#define VIRTIO_PCI_LEGACY_QUEUE_ALIGN 4096
#define VIRTIO_PCI_LEGACY_QUEUE_ADDRESS_SHIFT 12

/* §2.7 "Split Virtqueues" */
#define VIRTQ_SIZE_MAX 32768

/* §2.7.5 "The Virtqueue Descriptor Table" */
#define VIRTQ_DESC_F_NEXT 1
#define VIRTQ_DESC_F_WRITE 2
#define VIRTQ_DESC_F_INDIRECT 4

struct virtq_desc {
    uint64_t addr;  /* physical */
    uint32_t len;   /* bytes */
    uint16_t flags; /* VIRTQ_DESC_F_… */
    uint16_t next;  /* if flags & NEXT */
};
_Static_assert(sizeof(struct virtq_desc) == 16, "§2.7.5");

/* §2.7.6 "The Virtqueue Available Ring". idx is shared with the device, so it is atomic. */
#define VIRTQ_AVAIL_F_NO_INTERRUPT 1

struct virtq_avail {
    _Atomic uint16_t flags;
    _Atomic uint16_t idx;
    uint16_t ring[]; /* behind it: uint16_t used_event */
};
_Static_assert(offsetof(struct virtq_avail, ring) == 4, "§2.7.6");

/* §2.7.8 "The Virtqueue Used Ring". flags and idx are written by the device at any time. */
#define VIRTQ_USED_F_NO_NOTIFY 1

struct virtq_used_elem {
    uint32_t id;  /* head of the used descriptor chain */
    uint32_t len; /* bytes written into it */
};
_Static_assert(sizeof(struct virtq_used_elem) == 8, "§2.7.8");

struct virtq_used {
    _Atomic uint16_t flags;
    _Atomic uint16_t idx;
    struct virtq_used_elem ring[]; /* behind it: uint16_t avail_event */
};
_Static_assert(offsetof(struct virtq_used, ring) == 4, "§2.7.8");

/* §2.8 "Packed Virtqueues". The bits of flags besides those of §2.7.5, which are the same. */
#define VIRTQ_DESC_F_AVAIL (1 << 7)
#define VIRTQ_DESC_F_USED (1 << 15)

struct pvirtq_desc { /* §2.8.13 "The Virtqueue Descriptor" */
    uint64_t addr;
    uint32_t len;
    uint16_t id;
    uint16_t flags; /* written last by either side */
};
_Static_assert(sizeof(struct pvirtq_desc) == 16, "§2.8.13");

/* §2.8.14 "Event Suppression Structure": written by the one side, read by the other at any time */
#define RING_EVENT_FLAGS_ENABLE 0
#define RING_EVENT_FLAGS_DISABLE 1
#define RING_EVENT_FLAGS_DESC 2 /* only with EVENT_IDX */

struct pvirtq_event_suppress {
    _Atomic uint16_t desc; /* offset of a descriptor in the ring, and its wrap counter as bit 15 */
    _Atomic uint16_t flags;
};
_Static_assert(sizeof(struct pvirtq_event_suppress) == 4, "§2.8.14");
#define RING_EVENT_DESC_WRAP 0x8000

/* §5.1.3 "Feature bits" of the network device, and §6, §6.3 the reserved ones (bit numbers) */
#define VIRTIO_NET_F_CSUM 0
#define VIRTIO_NET_F_GUEST_CSUM 1
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS 2
#define VIRTIO_NET_F_MTU 3
#define VIRTIO_NET_F_MAC 5
#define VIRTIO_NET_F_GSO 6 /* legacy, §5.1.3.2 */
#define VIRTIO_NET_F_GUEST_TSO4 7
#define VIRTIO_NET_F_GUEST_TSO6 8
#define VIRTIO_NET_F_GUEST_ECN 9
#define VIRTIO_NET_F_GUEST_UFO 10
#define VIRTIO_NET_F_HOST_TSO4 11
#define VIRTIO_NET_F_HOST_TSO6 12
#define VIRTIO_NET_F_HOST_ECN 13
#define VIRTIO_NET_F_HOST_UFO 14
#define VIRTIO_NET_F_MRG_RXBUF 15
#define VIRTIO_NET_F_STATUS 16
#define VIRTIO_NET_F_CTRL_VQ 17
#define VIRTIO_NET_F_CTRL_RX 18
#define VIRTIO_NET_F_CTRL_VLAN 19
#define VIRTIO_NET_F_CTRL_RX_EXTRA 20 /* named in §5.1.6.5.1 */
#define VIRTIO_NET_F_GUEST_ANNOUNCE 21
#define VIRTIO_NET_F_MQ 22
#define VIRTIO_NET_F_CTRL_MAC_ADDR 23
#define VIRTIO_F_NOTIFY_ON_EMPTY 24 /* legacy, §6.3 */
#define VIRTIO_F_ANY_LAYOUT 27      /* legacy, §6.3 */
#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX 29
#define VIRTIO_F_VERSION_1 32
#define VIRTIO_F_ACCESS_PLATFORM 33
#define VIRTIO_F_RING_PACKED 34
#define VIRTIO_F_IN_ORDER 35
#define VIRTIO_F_ORDER_PLATFORM 36
#define VIRTIO_F_SR_IOV 37
#define VIRTIO_F_NOTIFICATION_DATA 38
#define VIRTIO_F_NOTIF_CONFIG_DATA 39
#define VIRTIO_F_RING_RESET 40
#define VIRTIO_NET_F_NOTF_COAL 53
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO 56
#define VIRTIO_NET_F_HASH_REPORT 57
#define VIRTIO_NET_F_GUEST_HDRLEN 59
#define VIRTIO_NET_F_RSS 60
#define VIRTIO_NET_F_RSC_EXT 61
#define VIRTIO_NET_F_STANDBY 62
#define VIRTIO_NET_F_SPEED_DUPLEX 63

/* §5.1.4 "Device configuration layout": offsets */
#define VIRTIO_NET_CONFIG_MAC 0                 /* 6 bytes */
#define VIRTIO_NET_CONFIG_STATUS 6              /* 16 bits, if STATUS */
#define VIRTIO_NET_CONFIG_MAX_VIRTQUEUE_PAIRS 8 /* 16 bits, if MQ or RSS */
#define VIRTIO_NET_CONFIG_MTU 10                /* 16 bits, if MTU */
#define VIRTIO_NET_CONFIG_SPEED 12              /* 32 bits, Mbit/s, if SPEED_DUPLEX */
#define VIRTIO_NET_CONFIG_DUPLEX 16             /* 8 bits, if SPEED_DUPLEX */
#define VIRTIO_NET_SPEED_MAX 0x7fffffff         /* above it: unknown */
#define VIRTIO_NET_DUPLEX_HALF 0
#define VIRTIO_NET_DUPLEX_FULL 1
#define VIRTIO_NET_S_LINK_UP 1
#define VIRTIO_NET_S_ANNOUNCE 2

/* §5.1.6 "Device Operation" */
#define VIRTIO_NET_HDR_F_NEEDS_CSUM 1
#define VIRTIO_NET_HDR_F_DATA_VALID 2
#define VIRTIO_NET_HDR_F_RSC_INFO 4
#define VIRTIO_NET_HDR_GSO_NONE 0
#define VIRTIO_NET_HDR_GSO_TCPV4 1
#define VIRTIO_NET_HDR_GSO_UDP 3
#define VIRTIO_NET_HDR_GSO_TCPV6 4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#define VIRTIO_NET_HDR_GSO_ECN 0x80 /* besides one of the others */

struct virtio_net_hdr {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
    uint16_t num_buffers; /* §5.1.6.1: absent in a legacy header without MRG_RXBUF */
};
_Static_assert(sizeof(struct virtio_net_hdr) == 12, "§5.1.6");
#define VIRTIO_NET_HDR_BYTES 12
#define VIRTIO_NET_HDR_BYTES_LEGACY 10

/* §5.1.2 "Virtqueues": pairs of them, and behind the last pair that of the control queue. That is the
 * first pair without MQ, and with it pair max_virtqueue_pairs. */
#define VIRTIO_NET_QUEUE_RECEIVE 0
#define VIRTIO_NET_QUEUE_TRANSMIT 1
#define VIRTIO_NET_QUEUE_CONTROL(pairs) (2 * (uint32_t)(pairs))

/* §5.1.6.5 "Control Virtqueue" */
struct virtio_net_ctrl_hdr {
    uint8_t class;
    uint8_t command;
};
_Static_assert(sizeof(struct virtio_net_ctrl_hdr) == 2, "§5.1.6.5");
#define VIRTIO_NET_OK 0
#define VIRTIO_NET_ERR 1
#define VIRTIO_NET_CTRL_RX 0 /* §5.1.6.5.1 */
#define VIRTIO_NET_CTRL_RX_PROMISC 0
#define VIRTIO_NET_CTRL_RX_ALLMULTI 1
#define VIRTIO_NET_CTRL_RX_ALLUNI 2
#define VIRTIO_NET_CTRL_RX_NOMULTI 3
#define VIRTIO_NET_CTRL_RX_NOUNI 4
#define VIRTIO_NET_CTRL_RX_NOBCAST 5
#define VIRTIO_NET_CTRL_MAC 1 /* §5.1.6.5.2 */
#define VIRTIO_NET_CTRL_MAC_TABLE_SET 0
#define VIRTIO_NET_CTRL_MAC_ADDR_SET 1
#define VIRTIO_NET_CTRL_VLAN 2 /* §5.1.6.5.3 */
#define VIRTIO_NET_CTRL_VLAN_ADD 0
#define VIRTIO_NET_CTRL_ANNOUNCE 3 /* §5.1.6.5.4 */
#define VIRTIO_NET_CTRL_ANNOUNCE_ACK 0
#define VIRTIO_NET_CTRL_MQ 4 /* §5.1.6.5.5, §5.1.6.5.6 */
#define VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET 0
#define VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN 1
#define VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX 0x8000
#define VIRTIO_NET_CTRL_GUEST_OFFLOADS 5 /* §5.1.6.5.8 */
#define VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET 0

#endif
