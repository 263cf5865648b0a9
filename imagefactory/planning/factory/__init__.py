"""What is saved into the factory, and what is deleted from it: images, staged VHDs and VMs."""
