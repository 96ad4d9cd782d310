/* Network devices as far as a probe needs them. They carry no packets. */
#include <linux/etherdevice.h>

#include "kernel.h"

#define WITNESS_PORTS 8

static struct net_device *ports[WITNESS_PORTS];
static int port_count;

int witness_ports(void)
{
    return port_count;
}

struct net_device *witness_port(int port)
{
    return port >= 0 && port < port_count ? ports[port] : NULL;
}

struct net_device *alloc_etherdev_mqs(int private_size, unsigned int tx_queues,
                                      unsigned int rx_queues)
{
    size_t size = ALIGN(sizeof(struct net_device), NETDEV_ALIGN) + private_size;
    struct net_device *dev = witness_allocate(size, 64, 1);

    if (!dev)
        return NULL;
    dev->num_tx_queues = tx_queues;
    dev->num_rx_queues = rx_queues;
    dev->_tx = witness_allocate(tx_queues * sizeof(*dev->_tx), 64, 1);
    dev->dev_addr = witness_allocate(MAX_ADDR_LEN, 64, 1);
    INIT_LIST_HEAD(&dev->mc.list);
    INIT_LIST_HEAD(&dev->uc.list);
    return dev;
}

void free_netdev(struct net_device *dev)
{
    witness_release(dev->_tx);
    witness_release(dev->dev_addr);
    witness_release(dev);
}

int register_netdev(struct net_device *dev)
{
    if (port_count == WITNESS_PORTS)
        return -ENOSPC;
    snprintf(dev->name, sizeof(dev->name), "eth%d", port_count);
    dev->reg_state = NETREG_REGISTERED;
    ports[port_count++] = dev;
    return 0;
}

void unregister_netdev(struct net_device *dev)
{
    dev->reg_state = NETREG_UNREGISTERED;
}

void dev_addr_mod(struct net_device *dev, unsigned int offset, const void *address, size_t length)
{
    memcpy((void *)dev->dev_addr + offset, address, length);
}

int netif_set_real_num_tx_queues(struct net_device *dev, unsigned int queues)
{
    dev->real_num_tx_queues = queues;
    return 0;
}
int netif_set_real_num_rx_queues(struct net_device *dev, unsigned int queues)
{
    dev->real_num_rx_queues = queues;
    return 0;
}

void netif_carrier_on(struct net_device *dev)
{
    clear_bit(__LINK_STATE_NOCARRIER, &dev->state);
}
void netif_carrier_off(struct net_device *dev)
{
    set_bit(__LINK_STATE_NOCARRIER, &dev->state);
}
