"""From one measured run to what a deployment needs at other rates, and how near such a plan comes."""
